package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"
)

// TestNoWayInByPorts is TestNoWayIn for what is not HTTP: gRPC, syslog over TCP
// and UDP, memcached. Then a good key gets one event in by each.
func TestNoWayInByPorts(t *testing.T) {
	g := bootGuarded(t, "", "--log", "debug", "--listen", "otlp_grpc=127.0.0.1:0", "--listen", "syslog_tcp=127.0.0.1:0",
		"--listen", "syslog_udp=127.0.0.1:0", "--listen", "memcached=127.0.0.1:0")
	good, revoked := g.key(`{"name":"good"}`), g.key(`{"name":"revoked"}`)
	expired, read := g.key(`{"name":"expired","expires":"1ms"}`), g.key(`{"scope":"read"}`)
	g.revoke(revoked.ID)
	wrong := good.Key[:len(good.Key)-8] + "aaaaaaaa"
	secrets := []string{"", wrong, revoked.Key, expired.Key, read.Key, "hunter2hunter2hunter2"}
	for _, secret := range secrets {
		g.byPorts(secret)
	}
	if n := g.rows(0); n != 0 {
		t.Fatalf("%d events got in", n)
	}
	g.byPorts(good.Key)
	if n := g.rows(4); n != 4 {
		t.Errorf("%d events got in with a good key, want 4\n%s", n, g.logs)
	}
	g.noSecrets(append(secrets[1:], good.Key))
}

// byPorts sends one event by each port with a key.
func (g *guarded) byPorts(key string) {
	g.t.Helper()
	message := "<134>1 2026-11-22T10:00:00Z h app - - - m\n"
	if key != "" {
		message = fmt.Sprintf("<134>1 2026-11-22T10:00:00Z h app - - [millrace@0 key=%q] m\n", key)
	}
	g.send("tcp", "syslog (tcp)", message)
	g.send("udp", "syslog (udp)", message)
	login := ""
	if key != "" {
		data := "anyone " + key
		login = fmt.Sprintf("set login 0 0 %d\r\n%s\r\n", len(data), data)
	}
	g.send("tcp", "memcached (tcp)", login+"set web 0 0 1\r\nm\r\nquit\r\n")
	g.export(key)
}

// send writes text and waits for the end of the answer.
func (g *guarded) send(network, listener, text string) {
	g.t.Helper()
	conn, err := net.DialTimeout(network, g.port(listener), 5*time.Second)
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(text)); err != nil {
		g.t.Fatal(err)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
		answer, _ := io.ReadAll(conn) // the server may cut it off
		fmt.Fprintln(&g.said, string(answer))
	}
}

// export sends one record by gRPC; that it is refused is for rows to show.
func (g *guarded) export(key string) {
	g.t.Helper()
	conn, err := grpc.NewClient(g.port("otlp_grpc (tcp)"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(g.t.Context(), 10*time.Second)
	defer cancel()
	if key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
	}
	body := &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: "m"}}
	// LogsData is the same on the wire as the service's request.
	request := &logs.LogsData{ResourceLogs: []*logs.ResourceLogs{{ScopeLogs: []*logs.ScopeLogs{{LogRecords: []*logs.LogRecord{{Body: body}}}}}}}
	err = conn.Invoke(ctx, "/opentelemetry.proto.collector.logs.v1.LogsService/Export", request, &emptypb.Empty{})
	fmt.Fprintln(&g.said, err)
}
