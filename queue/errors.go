package queue

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace"
)

// failed turns an error of a call to the broker into one for users. The cause is
// kept, but for what a message may not show.
func (q *Queue) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*millrace.Error](err); ok {
		return fmt.Errorf("%s: %w", op, err)
	}
	e := &millrace.Error{Code: millrace.ErrUnavailable, Op: op, Err: err}
	if q.cluster == nil && q.refused(e, err) {
		return e
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Code, e.Message = millrace.ErrTimeout, "the queue did not answer in time"
		if op == "append" {
			e.Message += "; whether the records are stored is unknown"
		}
	case errors.Is(err, kgo.ErrClientClosed):
		e.Message = "the queue is closed"
	case errors.Is(err, kerr.MessageTooLarge):
		e.Code, e.Message = millrace.ErrTooLarge, "the broker refuses records of this size"
		e.Hint = fmt.Sprintf("set max.message.bytes of topic %q to at least %d", q.opts.Topic, batchBytes)
	case errors.Is(err, kgo.ErrRecordTimeout), errors.Is(err, kgo.ErrRecordRetries):
		e.Message = "the broker did not take the records within " + q.opts.Timeout.String()
		e.Hint = cmp.Or(q.whyNot(), "is the broker at "+strings.Join(q.addrs, ", ")+" up and reachable?")
	case q.cluster != nil && errors.Is(err, kerr.UnknownServerError):
		// The broker does not say why; a full disk is the common cause.
		e.Message = "the queue could not write to its directory"
		if diskFull(q.dir) {
			e.Message = fullMessage
		}
		e.Hint = diskHint(q.dir)
	case q.cluster == nil && isDial(err):
		e.Message = "a broker cannot be reached"
		e.Hint = "if it is up, its advertised.listeners must name an address that this host can connect to; queue.broker: " + strings.Join(q.addrs, ", ")
	case q.cluster == nil:
		e.Message = "the broker failed"
		e.Hint = "see the log of the broker at " + strings.Join(q.addrs, ", ")
	default:
		e.Message = "the queue failed"
	}
	return e
}

// isDial reports whether a connection did not come about.
func isDial(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "dial"
}

// whyTimeout bounds the search for the reason of a timeout.
const whyTimeout = 2 * time.Second

// whyNot returns why an external Kafka takes no records, as far as it says: the
// producer retries until its time is up and keeps no reason.
func (q *Queue) whyNot() string {
	if q.cluster != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), whyTimeout)
	defer cancel()
	topic, err := q.topic(ctx)
	if errors.Is(err, kerr.LeaderNotAvailable) {
		return fmt.Sprintf("a partition of topic %q has no leader: all brokers that have its records are down; start them", q.opts.Topic)
	}
	if err != nil {
		return ""
	}
	configs, err := q.topicConfigs(ctx)
	if err != nil {
		return ""
	}
	if least, err := strconv.Atoi(configs["min.insync.replicas"]); err == nil && topic.insync < least {
		return fmt.Sprintf("a partition of topic %q has %d replicas in sync and its min.insync.replicas is %d: start the brokers that are down",
			q.opts.Topic, topic.insync, least)
	}
	return ""
}

// refused completes e if the brokers refuse this client or what it asks for, and
// reports whether that is so. None of these passes by itself.
func (q *Queue) refused(e *millrace.Error, err error) bool {
	addrs := strings.Join(q.addrs, ", ")
	is := func(targets ...error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
	switch {
	case q.refusedConnection(e, err):
	case is(kerr.SaslAuthenticationFailed), strings.Contains(err.Error(), "unexpected data in oauth response"):
		// With OAUTHBEARER the reason comes in a message of its own (RFC 7628,
		// section 3.2.2), which the client does not tell.
		o := &q.opts.SASL
		e.Message, e.Hint = fmt.Sprintf("the broker does not accept user %q with this password", o.Username),
			fmt.Sprintf("check queue.sasl.username and what %s holds; is the mechanism %s the one the password was set for?", o.Password, o.Mechanism)
		if o.Mechanism == saslOAuth {
			e.Message, e.Hint = "the broker does not accept the token", "check who issued it, for which audience, and whether it has expired"
		}
	case is(kerr.UnsupportedSaslMechanism):
		e.Message, e.Hint = fmt.Sprintf("the broker does not offer SASL mechanism %s", q.opts.SASL.Mechanism),
			"set queue.sasl.mechanism to one of the broker's sasl.enabled.mechanisms"
	case is(kerr.IllegalSaslState):
		e.Message, e.Hint = "the broker expects no authentication on this port",
			"leave queue.sasl empty, or use the port of a SASL listener; addresses: "+addrs
	case is(kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed):
		e.Message, e.Hint = fmt.Sprintf("user %q may not do this", q.opts.SASL.Username),
			fmt.Sprintf("it needs the operations Read, Write, Describe, DescribeConfigs on topic %s (and Create, unless the topic exists), "+
				"Read on its consumer groups and, before Kafka 2.8, IdempotentWrite on the cluster: see kafka-acls.sh", q.opts.Topic)
	case is(kerr.InvalidReplicationFactor):
		e.Code, e.Message = millrace.ErrInvalid, fmt.Sprintf("topic %q cannot have %d replicas: there are not as many brokers", q.opts.Topic, q.opts.Replication)
		e.Hint = "lower queue.replication or start more brokers"
	case is(kerr.PolicyViolation, kerr.InvalidConfig):
		e.Message, e.Hint = fmt.Sprintf("the cluster's rules do not allow to create topic %q so", q.opts.Topic),
			"create it by hand, with max.message.bytes of at least "+fmt.Sprint(batchBytes)
	case is(kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend):
		e.Message, e.Hint = fmt.Sprintf("fewer replicas of topic %q are up than its min.insync.replicas asks for", q.opts.Topic),
			"bring the missing brokers back; nothing acknowledged is lost"
	case is(kerr.InvalidSessionTimeout):
		e.Code, e.Message = millrace.ErrInvalid, "the broker does not allow a session timeout of "+q.opts.Group.Session.String()
		e.Hint = "keep queue.group.session_timeout within the broker's group.min.session.timeout.ms and group.max.session.timeout.ms"
	case is(kerr.FencedInstanceID):
		e.Message, e.Hint = fmt.Sprintf("another node joined the group as %q", q.opts.Group.Instance), "give each node its own queue.group.instance"
	case is(kerr.UnsupportedVersion) || strings.Contains(err.Error(), "broker is too old"):
		e.Message, e.Hint = "the broker is older than Apache Kafka 2.8", "update the broker at "+addrs
	default:
		return false
	}
	return true
}

// refusedConnection is refused for connections that do not come about.
func (q *Queue) refusedConnection(e *millrace.Error, err error) bool {
	addrs := strings.Join(q.addrs, ", ")
	o := &q.opts.TLS
	_, eof := errors.AsType[*kgo.ErrFirstReadEOF](err)
	_, noTLS := errors.AsType[tls.RecordHeaderError](err)
	unknown, isUnknown := errors.AsType[x509.UnknownAuthorityError](err)
	wrongHost, isWrongHost := errors.AsType[x509.HostnameError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	dns, noHost := errors.AsType[*net.DNSError](err)
	remote, isRemote := errors.AsType[*net.OpError](err)
	text := err.Error()
	switch {
	case noTLS, eof && o.Enabled && !strings.Contains(text, "SASL"):
		e.Message, e.Hint = "the broker does not speak TLS on this port", "set queue.tls.enabled to false, or use the port of a TLS listener; addresses: "+addrs
	case strings.Contains(text, "tls alert record"), eof && !o.Enabled && strings.Contains(text, "is TLS missing"):
		e.Message, e.Hint = "the broker expects TLS on this port", "set queue.tls.enabled, or use the port of a plain listener; addresses: "+addrs
	case eof && q.sasl == nil:
		e.Message, e.Hint = "the broker ended the connection, as one that expects a password or a certificate does", "set queue.sasl, and queue.tls.cert_file if it asks for certificates"
	case isUnknown:
		e.Message, e.Hint = "the broker's certificate is from an unknown authority", "set queue.tls.ca_file to the certificate of the authority that signed it"
		if unknown.Cert != nil {
			e.Message += " (" + unknown.Cert.Issuer.String() + ")"
		}
	case isWrongHost:
		e.Message, e.Hint = "the broker's certificate is for another host: "+wrongHost.Error(), "use the host that it names in queue.broker, or set queue.tls.server_name to it"
	case isInvalid:
		e.Message, e.Hint = "the broker's certificate is not valid: "+invalid.Error(), "renew it; if it has only just been issued or expired, compare this host's clock"
	case isRemote && remote.Op == "remote error":
		e.Message, e.Hint = "the broker does not accept this client's certificate: "+remote.Err.Error(), "set queue.tls.cert_file and key_file to a certificate from an authority that the broker trusts"
	case noHost:
		e.Message, e.Hint = fmt.Sprintf("there is no host %q", dns.Name), "check queue.broker, and the names in the brokers' advertised.listeners"
	default:
		return false
	}
	return true
}

// unavailable is the error of a directory that cannot be used.
func unavailable(op, dir string, err error) error {
	message := "the queue directory " + dir + " cannot be used"
	if errors.Is(err, syscall.ENOSPC) {
		message = fullMessage
	}
	return &millrace.Error{Code: millrace.ErrUnavailable, Op: op, Err: err, Message: message, Hint: diskHint(dir)}
}

const fullMessage = "the server's disk is full; nothing can be taken until there is space again"

// diskFull reports whether there is no room for a batch.
func diskFull(dir string) bool {
	var st syscall.Statfs_t
	err := syscall.Statfs(dir, &st)
	return err == nil && int64(st.Bavail)*int64(st.Bsize) < batchBytes //nolint:unconvert // the types differ between systems
}

func diskHint(dir string) string {
	return "check that " + dir + " is writable and that its disk has free space"
}

// probe reports whether a small file can be written and synced in dir.
func probe(dir string) error {
	name := dir + string(os.PathSeparator) + "probe"
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(time.Unix(0, 0).String()) // anything: space is what is tested
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(name))
}
