package transform

// What a rule set may cost. They bound what one event may take in time and
// memory whatever the rules and the line are, so a busy pipeline cannot be
// stopped by a rule.
const (
	// MaxRules bounds the text of a rule set, in bytes.
	MaxRules = 64 << 10
	// MaxSteps bounds the steps of a rule set, and the masks.
	MaxSteps = 100
	// MaxPattern bounds a regular expression or grok pattern as written, in bytes.
	MaxPattern = 4 << 10
	// maxExpanded bounds a grok pattern after its names are replaced, in bytes.
	maxExpanded = 64 << 10
	// MaxProgram bounds a compiled regular expression, in instructions.
	MaxProgram = 20_000
	// MaxPatterns bounds the patterns of an extract step.
	MaxPatterns = 50
	// MaxCaptures bounds the fields that a pattern, or a step at all, may set.
	MaxCaptures = 100
	// MaxAttrs is how many attributes an event may have for a step to add more.
	MaxAttrs = 500
	// MaxName bounds the name of a field, a step or a reason, in bytes.
	MaxName = 100
	// MaxExpression bounds an expression, in bytes.
	MaxExpression = 4 << 10
	// MaxNodes bounds the operators, names and constants of an expression.
	MaxNodes = 300
	// MaxText bounds a computed text, in bytes.
	MaxText = 64 << 10
	// MaxMemory bounds what the steps may allocate for one event, in bytes.
	MaxMemory = 1 << 20
	// MaxInput bounds the text that a pattern looks at, in bytes. Patterns of
	// large programs read less, see maxWork.
	MaxInput = 256 << 10
	// maxWork bounds instructions times bytes of a match: the time that RE2
	// needs grows with both. It is about half a second in the worst case.
	maxWork = 64 << 20
)

// Options is what a program needs from outside of its text. The zero value
// knows times in RFC 3339 and epochs only and has no key.
type Options struct {
	// ParseTime parses the timestamp at the start of text and returns it in Unix
	// nanoseconds with its length; arrived gives the year where the text has none.
	// It is decode.ParseTime in the server.
	ParseTime func(text []byte, arrived int64) (ns int64, n int, ok bool)

	// Level returns the standard name of a level, whether that says less than the
	// name given, which then is kept in level_original, and whether it is known.
	// It is decode.Level in the server; nil keeps levels as extracted, in lower
	// case.
	Level func(name string) (standard string, lossy, known bool)

	// Countries is what the step country looks addresses up in; rules that have
	// one are refused without it. A newer file gives other countries, so replays
	// are the same only as long as it stays.
	Countries *CountryFile

	// Learned is what was learned for this rule set, nil for nothing. It belongs
	// to a version of the rules as their text does.
	Learned *URLLearning

	// HashKey is the secret of this installation that masks hash with. A mask
	// that states no salt is refused without it.
	HashKey []byte
}
