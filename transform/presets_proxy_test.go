package transform

import (
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testdata"
)

// TestPresetsReadProxies checks the presets for which Filebeat has no samples on
// those of crowdsec's hub (MIT), against fields read by eye.
func TestPresetsReadProxies(t *testing.T) {
	f := func(preset, file, line, want string) {
		t.Helper()
		body, err := os.ReadFile(testdata.Shared(t, "access-logs", "crowdsec-hub", file))
		if err != nil {
			t.Fatal(err)
		}
		p := presetProgram(t, preset)
		b := frames(t, "auto", body)
		s := &Scratch{}
		for i := range b.Events {
			e := &b.Events[i]
			if !strings.Contains(string(body), line) {
				t.Fatalf("%s has no %s", file, line)
			}
			if !strings.Contains(e.Message, line) {
				continue
			}
			p.Apply(b, e, s)
			var got []string
			for _, name := range []string{"kind", "client_ip", "method", "url", "query", "status", "bytes", "rt", "rt_backend", "upstream", "backend", "server", "frontend", "router"} {
				if v, ok := e.Field(name); ok {
					got = append(got, name+"="+v.String())
				}
			}
			if g := strings.Join(got, " "); g != want {
				t.Errorf("%s:\n got %s\nwant %s", e.Message, g, want)
			}
			return
		}
		t.Errorf("%s: no event with %s", file, line)
	}
	f("haproxy", "haproxy-logs.log", `117.136.40.129:14853`,
		`kind=access client_ip=117.136.40.129 method=GET url=/xxx/xxx status=200 bytes=739 rt=0.173 rt_backend=0.003 backend=xx_server_https server=xxx_node_8002 frontend=https-in`)
	f("haproxy", "haproxy-logs.log", `22.118.26.10:10285`,
		`kind=access client_ip=22.118.26.10 method=GET url=/ status=200 bytes=20602 rt=1.264 rt_backend=1.263 backend=maskurl server=dns frontend=fe-verify`)
	f("traefik", "traefik_clf.log", `"GET /upload.asp?test=toto&tata=test HTTP/1.1"`,
		`kind=access client_ip=172.17.0.1 method=GET url=/upload.asp query=test=toto&tata=test status=200 bytes=405 rt=0 router=test@docker`)
	f("traefik", "traefik_json.log", `"RequestPath":"/594VAEoi.save"`,
		`kind=access client_ip=172.17.0.1 method=GET url=/594VAEoi.save status=200 bytes=357 rt=0.000357313 rt_backend=0.000324669 upstream=test@docker router=test@docker`)
}
