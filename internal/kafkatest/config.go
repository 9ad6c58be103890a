package kafkatest

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// clusterID is that of every cluster of tests.
const clusterID = "bWlsbHJhY2UtdGVzdC0wMQ"

// prepare writes what a broker needs to start with empty data.
func (c *Cluster) prepare(b *broker) error {
	data := filepath.Join(b.dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	// What Kafka's format tool writes; running it would take a Java process more.
	id := sha256.Sum256([]byte(b.dir))
	meta := fmt.Sprintf("version=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n",
		clusterID, b.id, base64.RawURLEncoding.EncodeToString(id[:16]))
	if err := os.WriteFile(filepath.Join(data, "meta.properties"), []byte(meta), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.dir, "server.properties"), []byte(c.properties(b, data)), 0o600)
}

// properties are those of three small brokers that notice failures in seconds
// and otherwise do what Kafka does by default.
func (c *Cluster) properties(b *broker, data string) string {
	n := len(c.brokers)
	var voters []string
	for _, v := range c.brokers {
		voters = append(voters, fmt.Sprintf("%d@%s", v.id, v.ports.addr(v.ports.controller)))
	}
	listeners := []string{"PLAIN://" + b.ports.addr(b.ports.plain)}
	protocols := "PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT"
	var extra string
	if c.secure != nil {
		listeners = append(listeners, "TLS://"+b.ports.addr(b.ports.tls), "MUTUAL://"+b.ports.addr(b.ports.mutual),
			"SASL://"+b.ports.addr(b.ports.sasl), "SASLTLS://"+b.ports.addr(b.ports.saslTLS))
		protocols += ",TLS:SSL,MUTUAL:SSL,SASL:SASL_PLAINTEXT,SASLTLS:SASL_SSL"
		extra = c.secure.properties()
	}
	outside := strings.Join(listeners, ",")
	return fmt.Sprintf(`process.roles=broker,controller
node.id=%d
controller.quorum.voters=%s
listeners=%s,CONTROLLER://%s
advertised.listeners=%s
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listener.security.protocol.map=%s
log.dirs=%s
auto.create.topics.enable=false
default.replication.factor=%d
offsets.topic.replication.factor=%d
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=%d
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
num.network.threads=2
num.io.threads=2
num.recovery.threads.per.data.dir=1
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
replica.lag.time.max.ms=5000
replica.fetch.wait.max.ms=200
`, b.id, strings.Join(voters, ","), outside, b.ports.addr(b.ports.controller), outside, protocols, data,
		n, min(3, n), min(3, n)) + extra
}
