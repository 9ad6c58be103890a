package gen

import (
	"strconv"
	"time"
)

// Shares of 2^16 of application log lines that are exceptions, and warnings.
const (
	shareFault    = 2_600  // 4%
	shareBadFault = 26_000 // 40% on a bad release, most of them new
	shareWarn     = 5_200
)

// AppendLog appends one entry of a service's own log as its language's usual
// logger writes it: one line, or several if it is an exception. Host is as for
// Place, whose values such lines do not carry themselves.
func (g *Generator) AppendLog(dst []byte, t time.Time, service, host int) []byte {
	s := &g.shop.services[service]
	ns := t.UnixNano()
	bad := len(g.deploy) > 0 && g.bad(service, host%len(s.hosts), ns)
	r := g.rng.Uint64()
	limit := uint32(shareFault)
	if bad {
		limit = shareBadFault
	}
	id := 100_000 + r>>40
	if chance(r, limit) {
		f := &s.faults[s.fault.pick(g.rng.Uint64())]
		if bad && chance(r>>16, 3*half/2) {
			f = &s.newFault
		}
		return g.appendFault(dst, ns, s.lang, f, id)
	}
	level := "INFO"
	if chance(r>>16, shareWarn) {
		level = "WARN"
	}
	dst = g.appendHeader(dst, ns, s.lang, level, s.faults[0].logger)
	dst = append(dst, infoLines[(r>>32)%uint64(len(infoLines))]...)
	dst = strconv.AppendUint(dst, id, 10)
	return append(dst, '\n')
}

// appendHeader appends what stands before the message, in the shape customary
// in a language: logback, Python's logging, zap's console, pino's pretty print.
func (g *Generator) appendHeader(dst []byte, ns int64, lang, level, logger string) []byte {
	switch lang {
	case "java":
		dst = g.clock.millis(dst, ns, ' ', '.')
		dst = append(dst, " [exec-"...)
		dst = strconv.AppendUint(dst, 1+g.rng.Uint64()%16, 10)
		dst = append(dst, "] "...)
		dst = append(dst, level...)
		dst = append(dst, ' ')
		dst = append(dst, logger...)
		return append(dst, " - "...)
	case "python":
		dst = g.clock.millis(dst, ns, ' ', ',')
		dst = append(dst, ' ')
		dst = append(dst, level...)
		dst = append(dst, ' ')
		dst = append(dst, logger...)
		return append(dst, ": "...)
	}
	dst = append(g.clock.millis(dst, ns, 'T', '.'), "Z "...)
	dst = append(dst, level...)
	dst = append(dst, ' ')
	return dst
}

func (g *Generator) appendFault(dst []byte, ns int64, lang string, f *fault, id uint64) []byte {
	dst = g.appendHeader(dst, ns, lang, "ERROR", f.logger)
	dst = append(dst, f.text...)
	if lang == "go" {
		dst = strconv.AppendUint(dst, 32768+id%28000, 10)
	} else {
		dst = append(dst, '\n')
	}
	dst = append(dst, f.head...)
	if lang == "java" {
		dst = strconv.AppendUint(dst, id, 10)
	}
	return append(dst, f.tail...)
}
