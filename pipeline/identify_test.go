package pipeline

import (
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

// annotate does to an event what the worker does, without rules.
func annotate(e *millrace.Event) {
	var b millrace.Batch
	b.Reset(&millrace.Record{})
	var x exceptions
	x.annotate(&b, e, false)
	x.again(&b, e, false)
	x.finish(&b, e)
}

// An exception by its sender's word gets a fingerprint and keeps the sender's
// type; of the same type and stack they are one issue, whatever the message.
func TestIdentify(t *testing.T) {
	const stack = "java.lang.IllegalStateException: cart 1 is empty\n\tat a.Cart.pay(Cart.java:42)\n\tat a.Main.main(Main.java:1)\n"
	event := func(kind millrace.Kind, message, name, stack string) *millrace.Event {
		e := &millrace.Event{Kind: kind, Message: message, Weight: 1}
		if name != "" {
			e.Set(millrace.AttrType, millrace.StringValue(name))
		}
		if stack != "" {
			e.MultiLine = true
			e.Set("stackTrace", millrace.StringValue(stack))
		}
		annotate(e)
		return e
	}
	attr := func(e *millrace.Event, key string) string { v, _ := e.Attr(key); return v.String() }
	a := event(millrace.KindException, "cart 1 is empty", "EmptyCart", stack)
	b := event(millrace.KindException, "cart 2 is empty", "EmptyCart", stack)
	c := event(millrace.KindException, "cart 1 is empty", "EmptyCart", "")
	d := event(millrace.KindException, "cart 1 is empty", "Other", "")
	if attr(a, millrace.AttrType) != "EmptyCart" || attr(a, millrace.AttrReport) == "" || attr(a, millrace.AttrFingerprint) == "" {
		t.Errorf("%+v", a)
	}
	if attr(a, millrace.AttrFingerprint) != attr(b, millrace.AttrFingerprint) {
		t.Error("the message tells them apart")
	}
	for _, other := range []*millrace.Event{a, d} {
		if f := attr(c, millrace.AttrFingerprint); f == "" || f == attr(other, millrace.AttrFingerprint) {
			t.Errorf("fingerprint %q, %q", f, attr(other, millrace.AttrFingerprint))
		}
	}
	if e := event(millrace.KindLog, "plain", "", ""); e.Kind != millrace.KindLog || len(e.Attrs) != 0 {
		t.Errorf("%+v", e)
	}
	given := &millrace.Event{Kind: millrace.KindException, Message: "m", Weight: 1}
	given.Set(millrace.AttrFingerprint, millrace.StringValue("mine"))
	annotate(given)
	if attr(given, millrace.AttrFingerprint) != "mine" || attr(given, "exception_message") != "m" || attr(given, millrace.AttrReport) == "" {
		t.Errorf("%+v", given)
	}
}

// Exceptions of OpenTelemetry have their stack and message in attributes of
// their own.
func TestIdentifyOpenTelemetry(t *testing.T) {
	e := &millrace.Event{Kind: millrace.KindException, Message: "order failed", Attrs: []millrace.Attr{
		{Key: millrace.AttrType, Value: millrace.StringValue("java.lang.IllegalStateException")},
		{Key: "exception.message", Value: millrace.StringValue("no stock")},
		{Key: "exception.stacktrace", Value: millrace.StringValue("java.lang.IllegalStateException: no stock\n\tat shop.Order.place(Order.java:12)\n\tat shop.Main.main(Main.java:3)\n")},
	}}
	annotate(e)
	report, _ := e.Attr(millrace.AttrReport)
	if !strings.Contains(report.String(), `"Order.java"`) || !strings.Contains(report.String(), `"line":12`) {
		t.Errorf("report %s", report)
	}
	bare := &millrace.Event{Kind: millrace.KindException, Message: "order failed", Attrs: []millrace.Attr{
		{Key: millrace.AttrType, Value: millrace.StringValue("E")}, {Key: "exception.message", Value: millrace.StringValue("no stock")},
	}}
	annotate(bare)
	if m, _ := bare.Attr("exception_message"); m.String() != "no stock" {
		t.Errorf("message %q", m)
	}
	if f, _ := bare.Attr(millrace.AttrFingerprint); f.String() == "" {
		t.Error("no fingerprint")
	}
}
