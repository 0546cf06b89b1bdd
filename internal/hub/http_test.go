package hub

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// get fetches a URL with the certificate of a role, or plainly when name is empty.
func (h *testHub) get(t *testing.T, url, name string) (int, string) {
	t.Helper()
	transport := &http.Transport{ForceAttemptHTTP2: true}
	if name != "" {
		transport.TLSClientConfig = h.tlsConfig(t, name)
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestHealth(t *testing.T) {
	var reasons []string
	h := startHub(t, "", func(o *Options, _ *StorageOptions) { o.Reasons = func() []string { return reasons } })
	h.fill(t, letters('a', 'e'))
	url := "https://" + h.Addr().String() + "/health"
	for _, name := range []string{"agent", "client", "dashboard", "node", "operator", "eventbus"} {
		code, body := h.get(t, url, name)
		var s struct {
			Status  string  `json:"status"`
			Version string  `json:"version"`
			Uptime  float64 `json:"uptime_seconds"`
			Log     struct {
				State string `json:"state"`
				Next  uint64 `json:"next_offset"`
			} `json:"log"`
			Subscribers []any   `json:"subscribers"`
			Connections int     `json:"connections"`
			Rate        float64 `json:"throughput_eps"`
		}
		if err := json.Unmarshal([]byte(body), &s); err != nil || code != http.StatusOK {
			t.Fatalf("%s: %d, %v, %s", name, code, err, body)
		}
		if s.Status != "ok" || s.Version != "test" || s.Uptime <= 0 || s.Log.State != "ok" || s.Log.Next != 5 || s.Connections < 1 || s.Subscribers == nil {
			t.Errorf("%s: %s", name, body)
		}
	}
	reasons = []string{"the store is behind"}
	if code, body := h.get(t, url, "operator"); code != http.StatusOK || !strings.Contains(body, `"degraded"`) || !strings.Contains(body, reasons[0]) {
		t.Errorf("degraded: %d %s", code, body)
	}
	if code, _ := h.get(t, "https://"+h.Addr().String()+"/", "operator"); code != http.StatusNotFound {
		t.Errorf("another path: %d", code)
	}
}

// TestALPN: whoever offers HTTP/1.1 gets it, also when h2 is offered first, as
// curl and browsers do; h2 alone is gRPC.
func TestALPN(t *testing.T) {
	h := startHub(t, "")
	for _, tt := range []struct {
		offer []string
		want  string
	}{
		{[]string{"h2"}, "h2"},
		{[]string{"grpc-exp", "h2"}, "h2"},
		{[]string{"h2", "http/1.1"}, "http/1.1"},
		{[]string{"http/1.1"}, "http/1.1"},
		{nil, ""},
	} {
		c := h.rawConn(t, tt.offer...)
		if got := c.ConnectionState().NegotiatedProtocol; got != tt.want {
			t.Errorf("offering %q gives %q, want %q", tt.offer, got, tt.want)
		}
		if tt.want == "h2" {
			continue
		}
		if _, err := io.WriteString(c, "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 OK") {
			t.Errorf("offering %q: %v, %s", tt.offer, err, answer)
		}
	}
}

func TestMetricsEndpoint(t *testing.T) {
	h := startHub(t, "")
	h.fill(t, letters('a', 'e'))
	addr := h.MetricsAddr().String()
	// The log reports a sync after it has called the senders back.
	eventually(t, "the sync is counted", func() bool {
		_, body := h.get(t, "http://"+addr+"/metrics", "")
		return strings.Contains(body, "amoskys_wal_sync_seconds_count 1")
	})
	h.rawConn(t, "h2")
	eventually(t, "one connection is open", func() bool { return h.Connections() == 1 })
	for _, tt := range []struct{ url, cert string }{
		{"http://" + addr + "/metrics", ""},
		{"https://" + addr + "/metrics", "agent"},
	} {
		code, body := h.get(t, tt.url, tt.cert)
		if code != http.StatusOK {
			t.Fatalf("%s: %d %s", tt.url, code, body)
		}
		for _, name := range []string{
			"eventbus_queue_depth 0", "eventbus_latency_ms_bucket", "eventbus_connections 1", `eventbus_errors_total{reason="expired"} 0`,
			"eventbus_throughput_eps", "eventbus_events_total 5", "amoskys_wal_sync_seconds_count 1", "amoskys_wal_next_offset 5",
			`amoskys_wal_state{state="ok"} 1`, "go_goroutines", "process_cpu_seconds_total",
		} {
			if !strings.Contains(body, name) {
				t.Errorf("%s has no %s", tt.url, name)
			}
		}
	}
	if code, body := h.get(t, "https://"+addr+"/metrics", ""); code != 0 {
		t.Errorf("HTTPS without certificate: %d %s", code, body)
	}
}

func TestGRPCHealth(t *testing.T) {
	h := startHub(t, "")
	conn := h.dial(t, "node")
	eventually(t, "the bus serves", func() bool { return healthOf(t, conn, "amoskys.v1.EventBus") == "SERVING" })
	if got := healthOf(t, conn, ""); got != "SERVING" {
		t.Errorf("the server as a whole: %s", got)
	}
}

// TestCurl is the command that the documentation gives.
func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	h := startHub(t, "")
	port := strconv.Itoa(h.Addr().(*net.TCPAddr).Port)
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), curl, append([]string{"--silent", "--show-error", "--ipv4", "--max-time", "10"}, args...)...)
		cmd.Dir = string(h.home)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	url := "https://localhost:" + port + "/health"
	out, err := run("--fail", "--cacert", "certs/ca.crt", "--cert", "certs/client.crt", "--key", "certs/client.key", url)
	var s Status
	if err != nil || json.Unmarshal([]byte(out), &s) != nil || s.Status != StateOK || s.Log.State != "ok" {
		t.Errorf("curl: %v\n%s", err, out)
	}
	if out, err := run("--cacert", "certs/ca.crt", url); err == nil {
		t.Errorf("curl without certificate is answered: %s", out)
	}
	if out, err := run("http://localhost:" + port + "/health"); err != nil || !strings.Contains(out, "HTTPS") {
		t.Errorf("curl without TLS: %v\n%s", err, out)
	}
}
