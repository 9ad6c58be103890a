package exception

import (
	"encoding/binary"
	"strconv"

	"github.com/millrace/millrace"
)

// protoField is one field of a protocol buffer message (wire format, as in
// protobuf.dev/programming-guides/encoding).
type protoField struct {
	number int
	varint uint64
	bytes  []byte
}

// nextField takes one field off b. ok is false at the end and if b is broken.
func nextField(b *[]byte) (f protoField, ok bool) {
	key, n := binary.Uvarint(*b)
	if n <= 0 {
		return f, false
	}
	*b = (*b)[n:]
	f.number = int(key >> 3)
	switch key & 7 {
	case 0:
		if f.varint, n = binary.Uvarint(*b); n <= 0 {
			return f, false
		}
	case 1:
		if n = 8; len(*b) < n {
			return f, false
		}
		f.varint = binary.LittleEndian.Uint64(*b)
	case 5:
		if n = 4; len(*b) < n {
			return f, false
		}
		f.varint = uint64(binary.LittleEndian.Uint32(*b))
	case 2:
		size, m := binary.Uvarint(*b)
		if m <= 0 || size > uint64(len(*b)-m) {
			return f, false
		}
		f.bytes, n = (*b)[m:m+int(size)], m+int(size)
	default:
		return f, false
	}
	*b = (*b)[n:]
	return f, true
}

const plcrashMagic = "plcrash" // a version byte follows

// readPLCrash reads PLCrashReporter's CrashReport message (crash_report.proto of
// version 1.11: 3 threads, 4 binary images, 5 exception, 6 signal).
func readPLCrash(r *millrace.Report, b []byte) {
	e := &millrace.Exception{}
	var all []image
	signal := ""
	for f, ok := nextField(&b); ok; f, ok = nextField(&b) {
		switch f.number {
		case 3:
			plcrashThread(r, f.bytes)
		case 4:
			if len(all) < maxFrames {
				all = append(all, plcrashImage(f.bytes))
			}
		case 5:
			e.Frames = plcrashException(e, f.bytes)
		case 6:
			signal = plcrashSignal(e, f.bytes)
		}
	}
	if len(r.Threads) == 0 && len(e.Frames) == 0 {
		r.Threads = nil
		return
	}
	if e.Type == "" {
		e.Type = signal
	}
	images := newImages(all)
	images.resolve(e.Frames)
	for i := range r.Threads {
		t := &r.Threads[i]
		images.resolve(t.Frames)
		if t.Crashed && e.Frames == nil {
			e.Frames, t.Frames = t.Frames, nil
		}
	}
	r.Exception, r.Language, r.Mechanism = e, langCocoa, "signal"
}

// plcrashThread: 1 number, 2 frames, 3 crashed.
func plcrashThread(r *millrace.Report, b []byte) {
	if len(r.Threads) == maxThreads {
		return
	}
	var t millrace.Thread
	for f, ok := nextField(&b); ok; f, ok = nextField(&b) {
		switch f.number {
		case 1:
			t.ID = strconv.FormatUint(f.varint, 10)
		case 2:
			if len(t.Frames) < maxFrames {
				t.Frames = append(t.Frames, plcrashFrame(f.bytes))
			}
		case 3:
			t.Crashed = f.varint != 0
		}
	}
	r.Threads = append(r.Threads, t)
}

// plcrashFrame: 3 pc, 6 symbol (1 name).
func plcrashFrame(b []byte) (out millrace.Frame) {
	for f, ok := nextField(&b); ok; f, ok = nextField(&b) {
		switch f.number {
		case 3:
			out.Address = f.varint
		case 6:
			for s, ok := nextField(&f.bytes); ok; s, ok = nextField(&f.bytes) {
				if s.number == 1 {
					out.Function = string(s.bytes)
				}
			}
		}
	}
	return out
}

// plcrashImage: 1 base, 2 size, 3 path, 4 uuid.
func plcrashImage(b []byte) (im image) {
	var size uint64
	for f, ok := nextField(&b); ok; f, ok = nextField(&b) {
		switch f.number {
		case 1:
			im.base = f.varint
		case 2:
			size = f.varint
		case 3:
			im.path = string(f.bytes)
		case 4:
			im.build = hexString(f.bytes)
		}
	}
	im.end, im.name = im.base+size, baseName(im.path)
	return im
}

// plcrashException: 1 name, 2 reason, 3 frames.
func plcrashException(e *millrace.Exception, b []byte) (frames []millrace.Frame) {
	for f, ok := nextField(&b); ok; f, ok = nextField(&b) {
		switch f.number {
		case 1:
			e.Type = string(f.bytes)
		case 2:
			e.Message = string(f.bytes)
		case 3:
			if len(frames) < maxFrames {
				frames = append(frames, plcrashFrame(f.bytes))
			}
		}
	}
	return frames
}

// plcrashSignal: 1 name, 2 code.
func plcrashSignal(e *millrace.Exception, b []byte) (name string) {
	code := ""
	for f, ok := nextField(&b); ok; f, ok = nextField(&b) {
		switch f.number {
		case 1:
			name = string(f.bytes)
		case 2:
			code = string(f.bytes)
		}
	}
	if e.Message == "" {
		e.Message = code
	}
	return name
}

// looksLikeTombstone: the message begins with architecture (1), build
// fingerprint (2) or revision (3), and is no text.
func looksLikeTombstone(b []byte) bool {
	if len(b) < 16 || b[0] != 0x08 && b[0] != 0x12 {
		return false
	}
	r := b
	for range 4 {
		f, ok := nextField(&r)
		if !ok || f.number < 1 || f.number > 40 {
			return false
		}
	}
	return true
}

// readTombstoneProto reads Android's Tombstone message (debuggerd's
// tombstone.proto of Android 16: 6 tid, 10 signal, 14 abort message, 15 causes,
// 16 threads).
func readTombstoneProto(r *millrace.Report, b []byte) {
	e := &millrace.Exception{}
	tid, cause := uint64(0), ""
	for f, ok := nextField(&b); ok; f, ok = nextField(&b) {
		switch f.number {
		case 6:
			tid = f.varint
		case 10:
			tombstoneProtoSignal(e, f.bytes)
		case 14:
			if len(f.bytes) > 0 {
				e.Message = string(f.bytes)
			}
		case 15:
			for c, ok := nextField(&f.bytes); ok; c, ok = nextField(&f.bytes) {
				if c.number == 1 && cause == "" {
					cause = string(c.bytes)
				}
			}
		case 16:
			tombstoneProtoThread(r, f.bytes)
		}
	}
	if e.Type == "" || len(r.Threads) == 0 {
		r.Threads = nil
		return
	}
	if cause != "" {
		e.Message = cause
	}
	for i := range r.Threads {
		if t := &r.Threads[i]; t.ID == strconv.FormatUint(tid, 10) {
			t.Crashed, e.Thread = true, t.Name
			e.Frames, t.Frames = t.Frames, nil
		}
	}
	r.Exception, r.Language, r.Mechanism = e, langNative, "signal"
}

// tombstoneProtoSignal: 2 name, 4 code name.
func tombstoneProtoSignal(e *millrace.Exception, b []byte) {
	for f, ok := nextField(&b); ok; f, ok = nextField(&b) {
		switch f.number {
		case 2:
			e.Type = string(f.bytes)
		case 4:
			if e.Message == "" {
				e.Message = string(f.bytes)
			}
		}
	}
}

// tombstoneProtoThread reads an entry of the map: 1 tid, 2 Thread (1 id, 2 name,
// 4 frames).
func tombstoneProtoThread(r *millrace.Report, b []byte) {
	if len(r.Threads) == maxThreads {
		return
	}
	var t millrace.Thread
	for f, ok := nextField(&b); ok; f, ok = nextField(&b) {
		if f.number != 2 {
			continue
		}
		for g, ok := nextField(&f.bytes); ok; g, ok = nextField(&f.bytes) {
			switch g.number {
			case 1:
				t.ID = strconv.FormatUint(g.varint, 10)
			case 2:
				t.Name = string(g.bytes)
			case 4:
				if len(t.Frames) < maxFrames {
					t.Frames = append(t.Frames, tombstoneProtoFrame(g.bytes))
				}
			}
		}
	}
	r.Threads = append(r.Threads, t)
}

// tombstoneProtoFrame: 1 relative pc, 2 pc, 4 function, 6 file, 8 build id.
func tombstoneProtoFrame(b []byte) (out millrace.Frame) {
	for f, ok := nextField(&b); ok; f, ok = nextField(&b) {
		switch f.number {
		case 1:
			out.Offset = f.varint
		case 2:
			out.Address = f.varint
		case 4:
			out.Function = string(f.bytes)
		case 6:
			out.Module = string(f.bytes)
		case 8:
			out.Build = buildID(string(f.bytes))
		}
	}
	out.InApp = out.Module != "" && nativeInApp(out.Module) && !nativeRuntime(out.Function)
	return out
}

func hexString(b []byte) string {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 2*len(b))
	for _, c := range b {
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}

func baseName(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' || path[i] == '\\' {
			return path[i+1:]
		}
	}
	return path
}
