package queue

import (
	"regexp"
	"time"

	"github.com/millrace/millrace"
)

// GroupOptions say how workers that share the partitions watch each other.
type GroupOptions struct {
	Session   millrace.Duration `yaml:"session_timeout" default:"10s" doc:"After how long without a heartbeat a worker counts as dead and its partitions go to others. Kafka allows 6s to 30m unless group.min.session.timeout.ms says otherwise." example:"30s"`
	Heartbeat millrace.Duration `yaml:"heartbeat" default:"2s" doc:"How often a worker says that it lives, at most a third of the session timeout; also how soon it notices that the group changes or that the topic has more partitions." example:"3s"`
	Rebalance millrace.Duration `yaml:"rebalance_timeout" default:"60s" doc:"How long a worker may take to store what it has of partitions that it hands over." example:"2m"`
	Instance  string            `yaml:"instance" default:"" doc:"A name of this node that outlasts restarts, such as a pod's of a stateful set. A node that is killed and comes back within the session timeout then keeps its partitions; without a name it waits until the session of the killed one ends. Two nodes with one name throw each other out." example:"millrace-0"`
}

// Bounds of the options. Kafka's own limits depend on the broker's settings;
// these keep what can never work out.
const (
	minSession   = millrace.Duration(500 * time.Millisecond)
	maxSession   = millrace.Duration(30 * time.Minute)
	minHeartbeat = millrace.Duration(50 * time.Millisecond)
	maxRebalance = millrace.Duration(30 * time.Minute)
)

// instanceName is what Kafka allows as group.instance.id.
var instanceName = regexp.MustCompile(`^[a-zA-Z0-9._-]{0,249}$`)

func (o *GroupOptions) validate(path string, v *millrace.Violations) {
	millrace.Range(v, path+".session_timeout", o.Session, minSession, maxSession)
	millrace.Range(v, path+".heartbeat", o.Heartbeat, minHeartbeat, max(minHeartbeat, o.Session/3))
	millrace.Range(v, path+".rebalance_timeout", o.Rebalance, minSession, maxRebalance)
	if !instanceName.MatchString(o.Instance) {
		v.Add(path+".instance", o.Instance, "at most 249 of a-z A-Z 0-9 . _ -")
	}
}
