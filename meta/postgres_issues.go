package meta

// issuesTables is what millrace.Issues keeps, as migrations/sqlite/00006 has it.
// Names are compared by bytes; pages keep room, so that rows that change every
// second do so where they are, and change no index.
const issuesTables = `
CREATE TABLE issues (
	project       text COLLATE "C" NOT NULL,
	id            text COLLATE "C" NOT NULL,
	state         text NOT NULL DEFAULT 'open',
	resolution    text NOT NULL DEFAULT '',
	ignored       text NOT NULL DEFAULT '',
	regressed     bigint NOT NULL DEFAULT 0,
	owner         text NOT NULL DEFAULT '',
	fingerprints  bigint NOT NULL DEFAULT 0,
	first_seen    bigint NOT NULL DEFAULT 0,
	first_release text COLLATE "C" NOT NULL DEFAULT '',
	last_seen     bigint NOT NULL DEFAULT 0,
	last_release  text COLLATE "C" NOT NULL DEFAULT '',
	type          text COLLATE "C" NOT NULL DEFAULT '',
	title         text COLLATE "C" NOT NULL DEFAULT '',
	culprit       text COLLATE "C" NOT NULL DEFAULT '',
	level         text COLLATE "C" NOT NULL DEFAULT '',
	service       text COLLATE "C" NOT NULL DEFAULT '',
	language      text COLLATE "C" NOT NULL DEFAULT '',
	search        text COLLATE "C" NOT NULL DEFAULT '',
	merged_into   text COLLATE "C" NOT NULL DEFAULT '',
	created       bigint NOT NULL,
	version       bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (project, id)
) WITH (fillfactor = 70);

CREATE TABLE issue_fingerprints (
	project       text COLLATE "C" NOT NULL,
	fingerprint   text COLLATE "C" NOT NULL,
	issue         text COLLATE "C" NOT NULL,
	key           text COLLATE "C" NOT NULL,
	first_seen    bigint NOT NULL,
	first_release text COLLATE "C" NOT NULL,
	type          text COLLATE "C" NOT NULL,
	title         text COLLATE "C" NOT NULL,
	culprit       text COLLATE "C" NOT NULL,
	level         text COLLATE "C" NOT NULL,
	service       text COLLATE "C" NOT NULL,
	language      text COLLATE "C" NOT NULL,
	PRIMARY KEY (project, fingerprint)
);
CREATE INDEX issue_fingerprints_issue ON issue_fingerprints (project, issue);
CREATE INDEX issue_fingerprints_key ON issue_fingerprints (project, key);

CREATE TABLE issue_reports (
	project     text COLLATE "C" NOT NULL,
	fingerprint text COLLATE "C" NOT NULL,
	report      bytea NOT NULL,
	PRIMARY KEY (project, fingerprint)
);

CREATE TABLE issue_keys (
	project text COLLATE "C" NOT NULL,
	key     text COLLATE "C" NOT NULL,
	issue   text COLLATE "C" NOT NULL,
	PRIMARY KEY (project, key)
);

CREATE TABLE issue_sights (
	project       text COLLATE "C" NOT NULL,
	fingerprint   text COLLATE "C" NOT NULL,
	env           text COLLATE "C" NOT NULL,
	first_seen    bigint NOT NULL,
	first_release text COLLATE "C" NOT NULL,
	last_seen     bigint NOT NULL,
	last_release  text COLLATE "C" NOT NULL,
	PRIMARY KEY (project, fingerprint, env)
) WITH (fillfactor = 70);

CREATE TABLE issue_releases (
	project    text COLLATE "C" NOT NULL,
	release    text COLLATE "C" NOT NULL,
	first_seen bigint NOT NULL,
	last_seen  bigint NOT NULL,
	PRIMARY KEY (project, release)
) WITH (fillfactor = 50);

CREATE TABLE issue_activities (
	id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	project    text COLLATE "C" NOT NULL,
	issue      text COLLATE "C" NOT NULL,
	at         bigint NOT NULL,
	author     text NOT NULL,
	kind       text NOT NULL,
	data       bytea NOT NULL,
	text       text NOT NULL,
	regrouping bigint NOT NULL
);
CREATE INDEX issue_activities_issue ON issue_activities (project, issue, id);
CREATE INDEX issue_activities_project ON issue_activities (project, id);

CREATE TABLE issue_regroupings (
	id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	project   text COLLATE "C" NOT NULL,
	at        bigint NOT NULL,
	author    text NOT NULL,
	kind      text NOT NULL,
	note      text NOT NULL,
	moves     bytea NOT NULL,
	settings  bytea NOT NULL,
	undoes    bigint NOT NULL,
	undone_by bigint NOT NULL
);
CREATE INDEX issue_regroupings_project ON issue_regroupings (project, id);

CREATE TABLE issue_regrouped (
	project    text COLLATE "C" NOT NULL,
	issue      text COLLATE "C" NOT NULL,
	regrouping bigint NOT NULL,
	PRIMARY KEY (project, issue, regrouping)
);

CREATE TABLE issue_settings (
	project        text COLLATE "C" PRIMARY KEY,
	version        bigint NOT NULL,
	grouping_rules bytea NOT NULL,
	owners         bytea NOT NULL,
	author         text NOT NULL,
	at             bigint NOT NULL
);
`
