package pipeline

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/transform"
)

// filtered is an event that the rules dropped.
type filtered struct {
	ordinal int32
	reason  string
	weight  int64
	example string // masked
}

// decoding is what turns records into events; one per goroutine. The zero
// value is ready.
type decoding struct {
	decoder decode.Decoder
	scratch transform.Scratch
	used    map[*transform.Program]int64 // when last, in records
	records int64
	// explain, if set, is told what each step did to the event of a frame.
	explain func(ordinal int32, x transform.Explanation)

	book  *RuleBook    // is told what rules did, and paths to learn from; may be nil
	paths pathList     // of this record
	note  func(string) // adds to paths

	addresses  *addresses // truncates those of clients; may be nil
	exceptions exceptions
}

// use notes that a program is used, and lets go of what the scratch keeps of the
// one used least recently when there are too many.
func (d *decoding) use(p *transform.Program) {
	if p == nil {
		return
	}
	if d.used == nil {
		d.used = map[*transform.Program]int64{}
	}
	d.records++
	d.used[p] = d.records
	if len(d.used) <= maxPrograms {
		return
	}
	oldest := p
	for q, at := range d.used {
		if at < d.used[oldest] {
			oldest = q
		}
	}
	delete(d.used, oldest)
	d.scratch.Forget(oldest)
}

// apply runs the rules on the event added last.
func (d *decoding) apply(u *unit, e *millrace.Event) transform.Verdict {
	if d.explain == nil {
		return u.rules.Apply(&u.batch, e, &d.scratch)
	}
	x := u.rules.Explain(&u.batch, e, &d.scratch)
	d.explain(e.Ordinal, x)
	return x.Verdict
}

// all decodes the whole record of u and applies its rules. Everything that an
// event becomes before the sinks see it happens here: what `rules try` shows is
// made by this function, too.
func (d *decoding) all(u *unit) {
	if u.rules == nil {
		d.decoder.Decode(&u.batch)
		for i := range u.batch.Events {
			e := &u.batch.Events[i]
			d.exceptions.annotate(&u.batch, e, d.addresses != nil)
			d.addresses.event(&u.batch, e)
			d.exceptions.finish(&u.batch, e)
		}
		for i := range u.batch.Rejects {
			r := &u.batch.Rejects[i]
			r.Example = d.addresses.example(r.Example)
		}
		return
	}
	at := 0
	for i, n := range u.rec.Frames {
		d.frame(u, int32(i), u.rec.Payload[at:at+int(n)])
		at += int(n)
	}
}

// frame decodes one frame and applies the rules at once: while an event is the
// batch's last there is room for more attributes, and it can be taken back.
func (d *decoding) frame(u *unit, ordinal int32, frame []byte) {
	b := &u.batch
	events, rejects := len(b.Events), len(b.Rejects)
	d.decoder.DecodeFrame(b, ordinal, frame)
	if len(b.Rejects) > rejects {
		r := &b.Rejects[len(b.Rejects)-1]
		r.Example = d.hide(u, ordinal, r.Example)
	}
	if len(b.Events) == events {
		return
	}
	e := &b.Events[events]
	hides := d.hides(u)
	d.exceptions.annotate(b, e, hides)
	if u.rules == nil {
		d.addresses.event(b, e)
		d.exceptions.finish(b, e)
		return
	}
	if u.rules.Masks() {
		d.exceptions.beforeMasks(b, e)
	}
	v := d.apply(u, e)
	if u.rules.Masks() {
		d.exceptions.afterMasks(b, e)
	}
	if !v.Dropped {
		d.exceptions.again(b, e, hides) // a rule may have brought a stack trace to light
		d.addresses.event(b, e)
		d.exceptions.finish(b, e)
		return
	}
	u.rules.Mask(b, e, &d.scratch)
	d.addresses.event(b, e)
	u.filtered = append(u.filtered, filtered{ordinal, v.Reason, e.Weight, millrace.Example([]byte(e.Message))})
	u.droppedUntil = max(u.droppedUntil, min(e.Time, u.rec.Arrived))
	b.Drop()
}

// hides reports whether the texts of u's record are not kept as they are.
func (d *decoding) hides(u *unit) bool {
	return d.addresses != nil || u.rules != nil && u.rules.Masks()
}

// hide masks a text that is kept although it did not become an event.
func (d *decoding) hide(u *unit, ordinal int32, text string) string {
	if u.rules == nil || !u.rules.Masks() {
		return d.addresses.example(text)
	}
	e := u.batch.Add(ordinal)
	e.Message = text
	u.rules.Mask(&u.batch, e, &d.scratch)
	text = millrace.Example([]byte(e.Message))
	u.batch.Drop()
	return d.addresses.example(text)
}

// hideRefused masks the examples of what was refused at the door. None is left
// unmasked if that panics.
func (d *decoding) hideRefused(u *unit) {
	if !d.hides(u) {
		return
	}
	refused := u.rec.Refused
	u.rec.Refused = slices.Clone(refused)
	for i := range u.rec.Refused {
		u.rec.Refused[i].Example = ""
	}
	for i := range refused {
		u.rec.Refused[i].Example = d.hide(u, 0, refused[i].Example)
	}
}

// hidden is what is kept of a payload that a stage failed on: nothing if the
// rules or the options hide something, since what failed cannot be relied on to
// hide it.
func hidden(u *unit, payload []byte, truncate bool) []byte {
	if truncate || u.rules != nil && u.rules.Masks() {
		return fmt.Appendf(nil, "(%d bytes in which something might have to be hidden)", len(payload))
	}
	return bytes.Clone(payload)
}
