package queue

import (
	"net/url"

	"github.com/millrace/millrace"
)

// TLSOptions say how connections to an external Kafka are encrypted.
type TLSOptions struct {
	Enabled    bool   `yaml:"enabled" default:"false" doc:"Encrypt connections to the brokers." example:"true"`
	CAFile     string `yaml:"ca_file" default:"" doc:"Certificates of the authorities (PEM) that the brokers' are checked against. Empty: the system's." example:"/etc/millrace/kafka-ca.pem"`
	CertFile   string `yaml:"cert_file" default:"" doc:"Certificate (PEM) that the brokers know this client by. It is read again for each connection, so that it can be renewed." example:"/etc/millrace/client.pem"`
	KeyFile    string `yaml:"key_file" default:"" doc:"The key of cert_file (PEM)." example:"/etc/millrace/client-key.pem"`
	ServerName string `yaml:"server_name" default:"" doc:"Name that the brokers' certificates must be for. Empty: the host of the address." example:"kafka.internal"`
	Insecure   bool   `yaml:"insecure_skip_verify" default:"false" doc:"Take any certificate. Whoever can redirect the connection can then read and change all that passes: for tests only." example:"true"`
}

// SASLOptions say who millrace is to an external Kafka. Passwords and tokens are
// named by their place, never written here.
type SASLOptions struct {
	Mechanism    string `yaml:"mechanism" default:"" doc:"plain, scram-sha-256, scram-sha-512 or oauthbearer. Empty: no authentication." example:"scram-sha-512"`
	Username     string `yaml:"username" default:"" doc:"The user for plain and scram." example:"millrace"`
	Password     Secret `yaml:"password" default:"" doc:"Where the password is: env:NAME or file:PATH. A file is read again for each connection, so that the password can be changed." example:"file:/run/secrets/kafka"`
	Token        Secret `yaml:"token" default:"" doc:"Where the token for oauthbearer is: env:NAME or file:PATH. A file is read again for each connection." example:"file:/run/secrets/kafka-token"`
	TokenURL     string `yaml:"token_url" default:"" doc:"Instead of token: where to ask for one, with client_id and client_secret (RFC 6749, section 4.4). Its certificate is checked against the system's authorities." example:"https://login.example.com/oauth2/token"`
	ClientID     string `yaml:"client_id" default:"" doc:"This client's name at token_url." example:"millrace"`
	ClientSecret Secret `yaml:"client_secret" default:"" doc:"Where the secret for token_url is: env:NAME or file:PATH." example:"env:KAFKA_CLIENT_SECRET"`
	Scope        string `yaml:"scope" default:"" doc:"What to ask for at token_url, if it wants to be told." example:"kafka"`
}

// The values of SASLOptions.Mechanism.
const (
	saslPlain    = "plain"
	saslSCRAM256 = "scram-sha-256"
	saslSCRAM512 = "scram-sha-512"
	saslOAuth    = "oauthbearer"
)

func (o *TLSOptions) validate(path string, external bool, v *millrace.Violations) {
	if *o != (TLSOptions{}) && !o.Enabled {
		v.Add(path+".enabled", false, "true when other settings of tls are given")
	}
	if o.Enabled && !external {
		v.Add(path+".enabled", true, "false with the embedded broker: it is reached without a network")
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		v.Add(path+".cert_file", o.CertFile, "given together with key_file")
	}
	if o.Insecure && o.CAFile != "" {
		v.Add(path+".insecure_skip_verify", true, "false when ca_file is given")
	}
}

func (o *SASLOptions) validate(path string, external bool, v *millrace.Violations) {
	o.Password.validate(path+".password", v)
	o.Token.validate(path+".token", v)
	o.ClientSecret.validate(path+".client_secret", v)
	if o.Mechanism != "" && !external {
		v.Add(path+".mechanism", o.Mechanism, "empty with the embedded broker: nobody else reaches it")
	}
	must := func(name, value string, given bool) {
		switch {
		case given && value == "":
			v.Add(path+"."+name, `""`, "given with mechanism "+o.Mechanism)
		case !given && value != "":
			v.Add(path+"."+name, value, "empty with mechanism "+quoted(o.Mechanism))
		}
	}
	switch o.Mechanism {
	case "", saslPlain, saslSCRAM256, saslSCRAM512, saslOAuth:
	default:
		v.Add(path+".mechanism", o.Mechanism, "plain, scram-sha-256, scram-sha-512, oauthbearer or empty")
		return
	}
	user := o.Mechanism != "" && o.Mechanism != saslOAuth
	must("username", o.Username, user)
	must("password", o.Password.String(), user)
	oauth := o.Mechanism == saslOAuth
	if oauth && (o.Token == "") == (o.TokenURL == "") {
		v.Add(path+".token", quoted(o.Token.String()), "given with mechanism oauthbearer, or else token_url")
	}
	if !oauth {
		must("token", o.Token.String(), false)
		if o.TokenURL != "" {
			v.Add(path+".token_url", "(not shown)", "empty with mechanism "+quoted(o.Mechanism))
		}
	}
	ask := oauth && o.TokenURL != ""
	must("client_id", o.ClientID, ask)
	must("client_secret", o.ClientSecret.String(), ask)
	if !ask {
		must("scope", o.Scope, false)
	}
	if u, err := url.Parse(o.TokenURL); o.TokenURL != "" && (err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http") {
		v.Add(path+".token_url", "(not shown)", "https://HOST/PATH without a user")
	}
}

func quoted(s string) string {
	if s == "" {
		return `""`
	}
	return s
}
