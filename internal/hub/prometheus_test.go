package hub

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/amoskys/amoskys/internal/identity"
)

// TestPrometheus has the real Prometheus scrape the hub every way: HTTP from this
// machine, by address and by name, and HTTPS with a client certificate.
func TestPrometheus(t *testing.T) {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("prometheus is not installed (Debian: apt-get install prometheus)")
	}
	h := startHub(t, "")
	h.fill(t, letters('a', 'j'))
	files := identity.FilesFor(h.home.Certs(), "client")
	dir := t.TempDir()
	text := fmt.Sprintf(`
global: {scrape_interval: 200ms, scrape_timeout: 200ms}
scrape_configs:
  - job_name: plain
    static_configs: [{targets: [%[1]q]}]
  - job_name: named
    static_configs: [{targets: [%[5]q]}]
  - job_name: secure
    scheme: https
    tls_config: {ca_file: %[2]q, cert_file: %[3]q, key_file: %[4]q, server_name: localhost}
    static_configs: [{targets: [%[1]q]}]
`, h.MetricsAddr().String(), files.CA, files.Cert, files.Key, fmt.Sprint("localhost:", h.MetricsAddr().(*net.TCPAddr).Port))
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprint("127.0.0.1:", freePort(t))
	var output lockedBuffer
	cmd := exec.Command(program,
		"--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr, "--log.level=warn", "--enable-feature=exemplar-storage")
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus said:\n%s", output.String())
		}
	}()
	ask := func(query string) map[string]string {
		code, body := h.get(t, "http://"+addr+"/api/v1/query?query="+url.QueryEscape(query), "")
		if code != 200 {
			return nil
		}
		var answer struct {
			Data struct {
				Result []struct {
					Metric map[string]string `json:"metric"`
					Value  [2]any            `json:"value"`
				} `json:"result"`
			} `json:"data"`
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		values := map[string]string{}
		for _, r := range answer.Data.Result {
			values[r.Metric["job"]] = fmt.Sprint(r.Value[1])
		}
		return values
	}
	all := func(query, want string) {
		t.Helper()
		eventually(t, query, func() bool {
			v := ask(query)
			return v["plain"] == want && v["named"] == want && v["secure"] == want
		})
	}
	all("up", "1")
	all("eventbus_queue_depth", "0")
	all("eventbus_events_total", "10")
	all(`eventbus_errors_total{reason="expired"}`, "0")
	for _, name := range []string{"eventbus_latency_ms_count", "eventbus_connections", "eventbus_throughput_eps", "process_cpu_seconds_total"} {
		eventually(t, name, func() bool { return len(ask(name)) == 3 })
	}
	exemplars := ""
	eventually(t, "exemplars of acknowledgements", func() bool {
		_, exemplars = h.get(t, "http://"+addr+"/api/v1/query_exemplars?query=eventbus_latency_ms_bucket&start=0&end=9999999999", "")
		return strings.Contains(exemplars, `"offset":"`)
	})
	if strings.Contains(output.String(), "level=error") {
		t.Errorf("prometheus complains:\n%s", output.String())
	}
}
