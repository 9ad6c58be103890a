package pipeline

import (
	"github.com/millrace/millrace/exception"
)

// templates remembers the stacks that came last without their messages: real streams
// bring the same ones again and again with other ids in their texts, which memo
// misses. A stack is kept when it comes for the second time. A full set makes room
// for a new one by what nobody asked for since the last that wanted its place, so
// that stacks that never come again do not drive out those that do.
type templates struct {
	sets  [][templateWays]*template // by key
	once  []uint32                  // parts of the keys that came once
	size  int                       // bytes of all
	hand  int                       // the set in which room is made next
	tries uint                      // to make a template where it is crowded
	spare []string                  // messages of the text under way
	told  known                     // what is said of it
}

// template is what is remembered of a stack.
type template struct {
	key uint64
	of  *exception.Template // nil: its texts have none
	// last is the hash of the text that it served last: the same one twice in a row
	// is a loop that throws, and belongs to the memo.
	last uint64
	used bool // since somebody wanted its place
}

// Bounds of templates: 5 MiB, none longer than 256 KiB.
const (
	templateSets = 1 << 10
	templateWays = 4
	maxTemplates = 5 << 20
	maxTemplate  = 256 << 10
	// Making a template costs three times what reading a text does. Where it takes the
	// place of another, or others have the same frames already, one in so many is made.
	templateTries = 64
)

// find returns the template by which a text can be told, with its messages; one
// without Template says that texts of that outline have none.
func (t *templates) find(o *exception.Outline, key uint64) (*template, []string) {
	var none *template
	set := &t.sets[key%templateSets]
	for _, at := range set {
		if at == nil || at.key != key {
			continue
		}
		if at.of == nil {
			none = at
			continue
		}
		var ok bool
		if t.spare, ok = at.of.Match(o, t.spare[:0]); ok {
			at.used = true
			return at, t.spare
		}
	}
	return none, nil
}

// learn remembers the stack of a text that find did not find, if it came before.
func (t *templates) learn(version int, o *exception.Outline, key uint64) {
	if seen := &t.once[key%memoOnce]; *seen != uint32(key>>32) {
		*seen = uint32(key >> 32)
		return
	}
	set := &t.sets[key%templateSets]
	if t.crowded(set, key) {
		if t.tries++; t.tries%templateTries != 0 {
			return
		}
	}
	place := t.place(set)
	if place == nil {
		return
	}
	at := &template{key: key, of: exception.NewTemplate(version, o)}
	if at.of != nil && at.of.Size() > maxTemplate {
		at.of = nil
	}
	*place = at
	for t.size += at.bytes(); t.size > maxTemplates; {
		t.forget()
	}
}

func (t *templates) crowded(set *[templateWays]*template, key uint64) bool {
	full := true
	for _, at := range set {
		if at == nil {
			full = false
		} else if at.key == key {
			return true
		}
	}
	return full || t.size > maxTemplates-maxTemplate
}

// place returns an empty place of a set, or nil if all were used since the last time.
func (t *templates) place(set *[templateWays]*template) **template {
	var victim **template
	for i := range set {
		switch at := set[i]; {
		case at == nil:
			return &set[i]
		case !at.used:
			victim = &set[i]
		}
	}
	if victim != nil {
		t.size -= (*victim).bytes()
		*victim = nil
		return victim
	}
	for _, at := range set {
		at.used = false
	}
	return nil
}

// forget drops what was not used since it was here last from the next set.
func (t *templates) forget() {
	set := &t.sets[t.hand%templateSets]
	t.hand++
	for i, at := range set {
		switch {
		case at == nil:
		case at.used:
			at.used = false
		default:
			t.size -= at.bytes()
			set[i] = nil
		}
	}
}

func (at *template) bytes() int {
	if at.of == nil {
		return 64
	}
	return 64 + at.of.Size()
}

// template says of a text what the template of its stack knows, with the text's own
// messages, and learns one where there is none: nil. hash is the text's. The result is
// valid until the next call.
func (x *exceptions) template(text string, hash uint64, hides bool) *known {
	o, ok := exception.OutlineOf(text)
	if !ok {
		return nil
	}
	t := &x.memo.templates
	key := o.Key(memoSeed)
	at, messages := t.find(&o, key)
	if at == nil {
		t.learn(max(x.version, 1), &o, key)
		return nil
	}
	if at.of == nil {
		return nil
	}
	k := &t.told
	*k = known{kind: at.of.Type, message: at.of.Message(messages), cause: at.of.Cause, caused: at.of.Caused, fingerprint: at.of.Fingerprint}
	x.buf, k.cut = at.of.AppendReport(x.buf[:0], messages, !hides)
	k.report = x.written()
	if hash != at.last {
		at.last = hash
	} else if len(text) <= maxMemoText && !(hides && k.cut) {
		x.memo.keep(hash, text, k)
	}
	return k
}
