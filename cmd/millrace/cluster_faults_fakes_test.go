package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// tcpServer runs talk for each connection until the test ends.
func tcpServer(t testing.TB, talk func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { _ = c.Close() })
			go func() { defer stop(); defer c.Close(); talk(c) }()
		}
	}()
	return l.Addr().String()
}

// silent takes what it gets and says nothing.
func silent(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// hangUp ends each connection at once.
func hangUp(net.Conn) {}

// says answers the first bytes it gets with the same text, whatever they are, and
// ends.
func says(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, text)
		time.Sleep(20 * time.Millisecond) // a reset may overtake the text
	}
}

// endless answers with the same text again and again, for ever.
func endless(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		for block := strings.Repeat(text, 1+65536/len(text)); ; {
			if _, err := io.WriteString(c, block); err != nil {
				return
			}
		}
	}
}

// dripping answers with one byte after the other.
func dripping(text string, every time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		for i := range len(text) {
			if _, err := io.WriteString(c, text[i:i+1]); err != nil {
				return
			}
			time.Sleep(every)
		}
	}
}

// website runs an HTTP server and returns its host and port.
func website(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return strings.TrimPrefix(s.URL, "http://")
}

// loginPage is what a proxy answers to whom it does not know.
const loginPage = "<!doctype html><title>Sign in</title><form method=post>user <input name=user></form>"

// answers is an HTTP server that gives the same answer to each request.
func answers(status int, header http.Header, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for k, v := range header {
			w.Header()[k] = v
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// clickHouseHeaders are those of a real answer, for a fake that is rotten inside.
func clickHouseHeaders(more ...string) http.Header {
	h := http.Header{"X-Clickhouse-Query-Id": {"q"}, "X-Clickhouse-Timezone": {"UTC"}, "X-Clickhouse-Format": {"Native"}}
	for i := 0; i+1 < len(more); i += 2 {
		h.Set(more[i], more[i+1])
	}
	return h
}

// kafkaFrames reads requests of Kafka's protocol (length, key, version,
// correlation id) and writes what answer returns; nil ends the connection.
func kafkaFrames(answer func(correlation uint32) []byte) func(net.Conn) {
	return func(c net.Conn) {
		for {
			var head [12]byte
			if _, err := io.ReadFull(c, head[:]); err != nil {
				return
			}
			rest := int64(binary.BigEndian.Uint32(head[:])) - 8
			if _, err := io.CopyN(io.Discard, c, rest); err != nil {
				return
			}
			out := answer(binary.BigEndian.Uint32(head[8:]))
			if out == nil {
				return
			}
			if _, err := c.Write(out); err != nil {
				return
			}
		}
	}
}

func frame(length, correlation uint32, body ...byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, length)
	return append(binary.BigEndian.AppendUint32(out, correlation), body...)
}

// kafkaWith is a broker in this process, with what control changes of its answers
// to one kind of request.
func kafkaWith(t testing.TB, key kmsg.Key, control func(c *kfake.Cluster, r kmsg.Request) (kmsg.Response, error, bool)) string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.ControlKey(key.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return control(c, r)
	})
	return c.ListenAddrs()[0]
}

// advertises is a broker that tells its clients to go elsewhere.
func advertises(host string, port int32) func(*kfake.Cluster, kmsg.Request) (kmsg.Response, error, bool) {
	return func(_ *kfake.Cluster, r kmsg.Request) (kmsg.Response, error, bool) {
		req := r.(*kmsg.MetadataRequest)
		resp := req.ResponseKind().(*kmsg.MetadataResponse)
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = 0, host, port
		resp.Brokers, resp.ControllerID = append(resp.Brokers, b), b.NodeID
		for _, rt := range req.Topics {
			topic := kmsg.NewMetadataResponseTopic()
			topic.Topic = rt.Topic
			topic.ErrorCode = kerr.UnknownTopicOrPartition.Code
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true
	}
}

// refuses is a broker that answers one kind of request with an error.
func refusesTopics(code *kerr.Error) func(*kfake.Cluster, kmsg.Request) (kmsg.Response, error, bool) {
	return func(_ *kfake.Cluster, r kmsg.Request) (kmsg.Response, error, bool) {
		req := r.(*kmsg.CreateTopicsRequest)
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		for _, rt := range req.Topics {
			topic := kmsg.NewCreateTopicsResponseTopic()
			topic.Topic, topic.ErrorCode = rt.Topic, code.Code
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true
	}
}

// pgMessage is a message of PostgreSQL's protocol: type, length, body.
func pgMessage(kind byte, body string) string {
	return string(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))) + body
}

// pgError is the error that PostgreSQL answers a connection with.
func pgError(code, message string) string {
	return pgMessage('E', "SFATAL\x00VFATAL\x00C"+code+"\x00M"+message+"\x00\x00")
}

// pgAuth asks for an authentication of a kind by its number.
func pgAuth(kind uint32, data string) string {
	return pgMessage('R', string(binary.BigEndian.AppendUint32(nil, kind))+data)
}

// pgReady lets in whoever comes, and then answers each query with text.
func pgReady(text string) func(net.Conn) {
	return func(c net.Conn) {
		buf := make([]byte, 64<<10)
		_, _ = c.Read(buf)
		_, _ = io.WriteString(c, pgAuth(0, "")+pgMessage('S', "server_version\x0017.0\x00")+pgMessage('S', "default_transaction_read_only\x00off\x00")+
			pgMessage('S', "in_hot_standby\x00off\x00")+pgMessage('K', "\x00\x00\x00\x01\x00\x00\x00\x02")+pgMessage('Z', "I"))
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
}

// kafkaAt, clickHouseAt and postgresAt are configurations with one server that is
// not what it should be; all others are embedded.
func kafkaAt(addr string, more ...string) string {
	return fmt.Sprintf("queue: {broker: [%q], replication: 1, timeout: 2s%s}\n", addr, strings.Join(append([]string{""}, more...), ", "))
}

func clickHouseAt(addr, parameters string) string {
	return fmt.Sprintf("clickhouse: {address: \"clickhouse://u:%s@%s/d?%s\", timeout: 1s, connect_timeout: 1s, retry: 300ms}\n", hidden, addr, parameters)
}

func postgresAt(addr, parameters string) string {
	return fmt.Sprintf("meta: {address: \"postgres://u:%s@%s/d?sslmode=disable&connect_timeout=2%s\"}\nclickhouse: {address: \"clickhouse://127.0.0.1:1/d\"}\n", hidden, addr, parameters)
}

// hidden is the password of all addresses, which no message may show.
const hidden = "hunter2hunter2"
