package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of opentelemetry/proto/logs/v1/logs.proto, common/v1/common.proto and
// resource/v1/resource.proto, v1.x. The message is written here, field by field,
// since it must be known where in it time and trace id are.
const (
	dataResourceLogs   = 1
	rlResource         = 1
	rlScopeLogs        = 2
	resourceAttributes = 1
	slRecords          = 2
	recordTime         = 1
	recordSeverity     = 2
	recordSeverityText = 3
	recordBody         = 5
	recordAttributes   = 6
	recordTraceID      = 9
	pairKey            = 1
	pairValue          = 2
	anyString          = 1
	anyInt             = 3
	anyDouble          = 4
)

// resourceNames are the members of a line that OTLP says of a resource, in the
// names of its semantic conventions.
var resourceNames = map[string]string{
	"service": "service.name", "host": "host.name", "env": "deployment.environment.name", "release": "service.version",
}

// severities are the numbers of levels.
var severities = map[string]uint64{"debug": 5, "info": 9, "warn": 13, "error": 17, "fatal": 21}

// otlpGroup is the records of a resource.
type otlpGroup struct {
	resource []byte
	records  []byte // fields of the scope's logs
	stamps   []stamp
	lines    []int
}

// packOTLP makes records of lines and puts those of a resource together, as an
// SDK's or a collector's batches have them.
func packOTLP(p *packet, lines []byte, size int) error {
	groups := map[string]*otlpGroup{}
	var order []*otlpGroup
	n := len(lines) / size
	for i := range n {
		resource, record, err := otlpRecord(lines[i*size:][:size])
		if err != nil {
			return err
		}
		g := groups[string(resource)]
		if g == nil {
			g = &otlpGroup{resource: resource}
			groups[string(resource)], order = g, append(order, g)
		}
		g.records = appendMessage(g.records, slRecords, record)
		// The time is first, behind its tag; the trace id is last.
		end := len(g.records)
		g.stamps = append(g.stamps, stamp{time: end - len(record) + 1, trace: end - 16})
		g.lines = append(g.lines, i)
	}
	p.stamps = make([]stamp, n)
	for _, g := range order {
		logs := append(appendMessage(nil, rlResource, g.resource), appendMessage(nil, rlScopeLogs, g.records)...)
		p.body = appendMessage(p.body, dataResourceLogs, logs)
		start := len(p.body) - len(g.records)
		for k, at := range g.stamps {
			p.stamps[g.lines[k]] = stamp{time: start + at.time, trace: start + at.trace}
		}
	}
	return nil
}

// otlpRecord returns what a line says of the resource, and all else as a record.
func otlpRecord(line []byte) (resource, record []byte, err error) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	if _, err := dec.Token(); err != nil {
		return nil, nil, err
	}
	var level, message string
	var attrs []byte
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, nil, err
		}
		value, err := dec.Token()
		if err != nil {
			return nil, nil, err
		}
		name, text := fmt.Sprint(key), fmt.Sprint(value)
		switch {
		case name == "time" || name == "trace_id":
		case name == "level":
			level = text
		case name == "message":
			message = text
		case resourceNames[name] != "":
			resource = appendMessage(resource, resourceAttributes, otlpPair(resourceNames[name], value))
		default:
			attrs = appendMessage(attrs, recordAttributes, otlpPair(name, value))
		}
	}
	record = protowire.AppendTag(record, recordTime, protowire.Fixed64Type)
	record = protowire.AppendFixed64(record, 0)
	record = protowire.AppendTag(record, recordSeverity, protowire.VarintType)
	record = protowire.AppendVarint(record, severities[level])
	record = appendText(record, recordSeverityText, strings.ToUpper(level))
	record = appendMessage(record, recordBody, appendText(nil, anyString, message))
	record = append(record, attrs...)
	return resource, appendMessage(record, recordTraceID, make([]byte, 16)), nil
}

// otlpPair is an attribute of a JSON value.
func otlpPair(name string, value json.Token) []byte {
	var v []byte
	switch x := value.(type) {
	case json.Number:
		if n, err := x.Int64(); err == nil {
			v = protowire.AppendTag(v, anyInt, protowire.VarintType)
			v = protowire.AppendVarint(v, uint64(n))
		} else if f, err := x.Float64(); err == nil {
			v = protowire.AppendTag(v, anyDouble, protowire.Fixed64Type)
			v = protowire.AppendFixed64(v, math.Float64bits(f))
		}
	default:
		v = appendText(v, anyString, fmt.Sprint(x))
	}
	return appendMessage(appendText(nil, pairKey, name), pairValue, v)
}

func appendMessage(dst []byte, field protowire.Number, m []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, field, protowire.BytesType), m)
}

func appendText(dst []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(dst, field, protowire.BytesType), s)
}
