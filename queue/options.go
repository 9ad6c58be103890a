package queue

import (
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// The two values of Options.Durability.
const (
	DurabilityFsync = "fsync"
	DurabilityOS    = "os"
)

// Options configures the queue.
type Options struct {
	Broker      []string          `yaml:"broker" default:"" doc:"Addresses of an external Kafka (host:port). Empty runs the embedded broker in the data directory." example:"kafka1:9092,kafka2:9092"`
	Listen      string            `yaml:"listen" default:"127.0.0.1:0" doc:"Where the embedded broker listens, for tools such as kcat; it is advertised exactly so. Port 0 picks a free one. There is no authentication: keep it on loopback." example:"127.0.0.1:9092"`
	Topic       string            `yaml:"topic" default:"millrace" doc:"The topic; created if absent." example:"millrace"`
	Partitions  int32             `yaml:"partitions" default:"4" doc:"Partitions of a new topic. Four feed the decoders of a machine of two to eight cores; each further one costs a file to sync. An existing topic keeps its number." example:"12"`
	Replication int16             `yaml:"replication" default:"-1" doc:"Replicas of a new topic on an external Kafka; -1 is the broker's default." example:"3"`
	MinInsync   int16             `yaml:"min_insync" default:"0" doc:"How many replicas must have a record before it is acknowledged, as min.insync.replicas of a new topic on an external Kafka. 0: one less than replication, at least 1, or the broker's default if that is -1." example:"2"`
	Durability  string            `yaml:"durability" default:"fsync" doc:"fsync: a request is answered when its records are on disk. os: when they are in the page cache, which loses the last seconds on power loss." example:"os"`
	Retention   millrace.Duration `yaml:"retention" default:"72h" doc:"How long the embedded broker keeps records that all sinks have folded, at least; whole segments are deleted." example:"24h"`
	MaxBytes    millrace.Bytes    `yaml:"max_bytes" default:"0" doc:"Size cap of the embedded broker's segments. Folded records beyond it are deleted before their time; if there are none, ingest answers 429. It may be exceeded by one segment (at most 32 MiB) per partition. 0 is a tenth of the disk, at most 20 GB." example:"5GiB"`
	Buffer      millrace.Bytes    `yaml:"buffer" default:"64MiB" doc:"Memory for records that wait for the broker; further appends wait for room." example:"256MiB"`
	Timeout     millrace.Duration `yaml:"timeout" default:"30s" doc:"How long an append retries an unreachable broker before it fails." example:"10s"`
	Consume     []string          `yaml:"consume" default:"" doc:"Topics of an external Kafka that others fill, each as TOPIC=FORMAT: their messages are appended to the queue, under the topic's name as source, and count exactly once. See docs/kafka.md." example:"checkout=json,nginx=auto"`
	TLS         TLSOptions        `yaml:"tls" doc:"How connections to an external Kafka are encrypted."`
	SASL        SASLOptions       `yaml:"sasl" doc:"Who millrace is to an external Kafka."`
	Group       GroupOptions      `yaml:"group" doc:"How workers that share an external Kafka's partitions watch each other."`
}

// DefaultOptions returns what the tags of Options say.
func DefaultOptions() Options {
	return Options{
		Listen:      "127.0.0.1:0",
		Topic:       "millrace",
		Partitions:  4,
		Replication: -1,
		Durability:  DurabilityFsync,
		Retention:   millrace.Duration(72 * time.Hour),
		Buffer:      64 << 20,
		Timeout:     millrace.Duration(30 * time.Second),
		Group: GroupOptions{
			Session:   millrace.Duration(10 * time.Second),
			Heartbeat: millrace.Duration(2 * time.Second),
			Rebalance: millrace.Duration(time.Minute),
		},
	}
}

// Bounds of the options. A thousand partitions is far more than one consumer
// process can use. Sixteen MiB is the least buffer in which eight requests of
// a full record each can be under way. The least cap holds a segment of the
// smallest size for each of the default partitions.
const (
	maxPartitions = 1000
	minBuffer     = 16 << 20
	maxBuffer     = 16 << 30
	minMaxBytes   = 16 << 20
	minRetention  = millrace.Duration(time.Minute)
	maxRetention  = millrace.Duration(10 * 365 * 24 * time.Hour)
	minTimeout    = millrace.Duration(time.Second)
	maxTimeout    = millrace.Duration(10 * time.Minute)
)

// topicName is what Kafka allows.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// Validate reports every violation.
func (o *Options) Validate(path string, v *millrace.Violations) {
	for _, addr := range o.Broker {
		if host, port, err := net.SplitHostPort(addr); err != nil || host == "" || port == "" {
			v.Add(path+".broker", addr, "host:port")
		}
	}
	if len(o.Broker) == 0 {
		host, port, err := net.SplitHostPort(o.Listen)
		// The address is advertised to clients, so it must be one they can use.
		if ip := net.ParseIP(host); err != nil || host == "" || port == "" || ip != nil && ip.IsUnspecified() {
			v.Add(path+".listen", o.Listen, "host:port with a host that clients can connect to")
		}
	}
	if !topicName.MatchString(o.Topic) || o.Topic == "." || o.Topic == ".." {
		v.Add(path+".topic", o.Topic, "1 to 249 of a-z A-Z 0-9 . _ -")
	}
	millrace.Range(v, path+".partitions", o.Partitions, 1, maxPartitions)
	if o.Replication != -1 && (o.Replication < 1 || o.Replication > 100) {
		v.Add(path+".replication", o.Replication, "-1 or between 1 and 100")
	}
	if o.MinInsync < 0 || o.Replication > 0 && o.MinInsync > o.Replication {
		v.Add(path+".min_insync", o.MinInsync, "0 or between 1 and replication")
	}
	if o.Durability != DurabilityFsync && o.Durability != DurabilityOS {
		v.Add(path+".durability", o.Durability, "fsync or os")
	}
	millrace.Range(v, path+".retention", o.Retention, minRetention, maxRetention)
	millrace.Range(v, path+".timeout", o.Timeout, minTimeout, maxTimeout)
	millrace.Range(v, path+".buffer", o.Buffer, minBuffer, maxBuffer)
	if o.MaxBytes != 0 && o.MaxBytes < minMaxBytes {
		v.Add(path+".max_bytes", o.MaxBytes, "0 or at least "+millrace.Bytes(minMaxBytes).String())
	}
	o.validateConsume(path+".consume", v)
	o.TLS.validate(path+".tls", len(o.Broker) > 0, v)
	o.SASL.validate(path+".sasl", len(o.Broker) > 0, v)
	o.Group.validate(path+".group", v)
}

// Consumed is a topic that others fill.
type Consumed struct{ Topic, Format string }

// Consumes returns Options.Consume taken apart. Whether formats exist is not
// known here.
func (o *Options) Consumes() []Consumed {
	out := make([]Consumed, len(o.Consume))
	for i, text := range o.Consume {
		out[i].Topic, out[i].Format, _ = strings.Cut(text, "=")
	}
	return out
}

func (o *Options) validateConsume(path string, v *millrace.Violations) {
	seen := map[string]bool{}
	for i, c := range o.Consumes() {
		switch {
		case !topicName.MatchString(c.Topic) || c.Format == "":
			v.Add(path, quoted(o.Consume[i]), "TOPIC=FORMAT, such as checkout=json")
		case c.Topic == o.Topic:
			v.Add(path, o.Consume[i], "another topic than the queue's own")
		case seen[c.Topic]:
			v.Add(path, o.Consume[i], "given once per topic")
		}
		seen[c.Topic] = true
	}
	if len(o.Consume) > 0 && len(o.Broker) == 0 {
		v.Add(path, strings.Join(o.Consume, ","), "empty with the embedded broker: set queue.broker to the Kafka that has the topics")
	}
}
