package config

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

func TestLimitsAndLag(t *testing.T) {
	for text, want := range map[string]string{
		"lag_high: 0s\n":                               "",
		"lag_high: 9ms\n":                              "lag_high: 9ms: must be between 1s",
		"limits: {cpu: 0}\n":                           "limits.cpu: 0: must be between 1 and 100",
		"limits: {memory: 101}":                        "limits.memory: 101: must be between 1 and 100",
		"lag_high: 96h\n":                              "", // the embedded broker keeps what is not stored
		"lag_high: 96h\nqueue: {broker: ['k:9092']}\n": "lag_high: 4d: must be below queue.retention, 3d",
		"lag_high: 96h\nqueue: {broker: ['k:9092'], retention: 100h}\n": "",
		"queue: {broker: ['k:9092'], retention: 10m}\n":                 "",
	} {
		_, err := Parse([]byte(text))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	c, err := Parse([]byte("queue: {retention: 9h}\n"))
	if err != nil || c.LagHigh != millrace.Duration(6*time.Hour) {
		t.Errorf("two thirds of 9h are %v, %v", c.LagHigh, err)
	}
}
