package clienttest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// otelGoBatch is what an export of the SDK holds at most: so much is sent again
// if its answer is lost.
const otelGoBatch = 512

func TestOpenTelemetryGo(t *testing.T) {
	goTool := Require(t, "go")[0]
	for _, name := range []string{"http", "grpc", "grpc encrypted", "grpc encrypted on its own port"} {
		t.Run(name, func(t *testing.T) {
			s, to, cert := (*Server)(nil), "", ""
			if strings.Contains(name, "encrypted") {
				var key string
				to = FreeAddr(t)
				cert, key = certificate(t)
				s = Start(t, fmt.Sprintf("tls: {cert: %s, key: %s}\n", cert, key), "--listen", "otlp_grpc="+to)
			} else {
				s = Start(t, "")
			}
			if !strings.HasSuffix(name, "own port") {
				to = s.Addr
			}
			program := exec.Command(otelGoProgram(t, goTool, s, name, to))
			program.Env = append(os.Environ(), "OTEL_EXPORTER_OTLP_CERTIFICATE="+cert)
			s.runClient(program, func(i int) string { return fmt.Sprint(i) }, s.feed)
			s.Wait(elasticEvents, `SELECT count(DISTINCT attrs->>'order') FROM events WHERE source = 'shop' AND level = 'warn' AND service = 'checkout'
				AND release = '1.2.3' AND host = 'web-07' AND message = 'order placed' AND (attrs->>'paid') = 'true' AND (attrs->>'otel.scope.name') = 'example.com/shop/orders'`)
			s.checkDoubled("shop", false, otelGoBatch)
		})
	}
}

// otelGoProgram builds the program of the page, with the exporter of that name; to
// is where that of gRPC sends to.
func otelGoProgram(t *testing.T, goTool string, s *Server, name, to string) string {
	t.Helper()
	key := s.Key()
	code := Snippet(t, "opentelemetry-go.md", "go", 0, "http://127.0.0.1:8080", s.URL, "MILLRACE_KEY", key)
	if strings.HasPrefix(name, "grpc") {
		from, end := strings.Index(code, "// again lets"), strings.Index(code, "func main()")
		code = strings.Replace(code[:from]+code[end:], "\t\"net/http\"\n", "", 1)
		from, end = strings.Index(code, "\texporter, err := "), strings.Index(code, "\tif err != nil {")
		code = code[:from] + Snippet(t, "opentelemetry-go.md", "go", 1, "127.0.0.1:8080", to, "MILLRACE_KEY", key) + code[end:]
		if strings.Contains(name, "encrypted") {
			code = strings.Replace(code, " otlploggrpc.WithInsecure(),", "", 1)
		}
		code = strings.ReplaceAll(code, `otlplog/otlploghttp"`, `otlplog/otlploggrpc"`)
	}
	dir := t.TempDir()
	file, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "shop")
	if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(goTool, "build", "-o", binary, file).CombinedOutput(); err != nil { // in this module, which has the SDK
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}
