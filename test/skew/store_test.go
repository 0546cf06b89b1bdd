//go:build unix

package skew

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// health asks a dashboard how it is: the code and the text of its answer.
func health(t *testing.T, port string) (code int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+"/api/health", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b)
}

// TestDashboardAndHubOfTwoBuilds: a dashboard of either build lives beside a hub of the
// other, which keeps no events for it to search: it serves, and sees the hub.
func TestDashboardAndHubOfTwoBuilds(t *testing.T) {
	before, now := Previous(t), Current(t)
	for _, tt := range []struct {
		name           string
		dashboard, hub Programs
	}{
		{"previous dashboard, current hub", before, now},
		{"current dashboard, previous hub", now, before},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			port := freePort(t)
			w.write("config/dashboard_config.yaml", "server: {host: 127.0.0.1, port: "+port+"}\nhub: {port: "+w.hub+"}\n")
			w.run(before.Amoskys, "certs", "init")
			w.startHub(tt.hub)
			dashboard := w.start(tt.dashboard.Amoskys, "dashboard")
			w.until("the dashboard sees the hub", func() bool {
				code, text := health(t, port)
				return code == http.StatusOK && strings.Contains(text, `"connected":true`)
			})
			dashboard.stop()
			dashboard.ended()
		})
	}
}

// TestConfigurationOfANewerBuild: a section that the previous build does not know is a
// fault that it names, and changes nothing; without the section it runs.
func TestConfigurationOfANewerBuild(t *testing.T) {
	t.Parallel()
	before, now := Previous(t), Current(t)
	w := newWorld(t)
	port := freePort(t)
	text := "server: {host: 127.0.0.1, port: " + port + "}\nhub: {port: " + w.hub + "}\n"
	w.write("config/dashboard_config.yaml", text+"store: {host: localhost}\n")
	w.run(now.Amoskys, "certs", "init")
	if out, err := w.try(now.Amoskys, "config", "validate"); err != nil {
		t.Fatalf("this build: %v\n%s", err, out)
	}
	out, err := w.try(before.Amoskys, "config", "validate")
	if err == nil {
		t.Logf("the previous build knows the section: %s", out)
		return
	}
	if !strings.Contains(out, "store") || !strings.Contains(out, "dashboard_config.yaml") {
		t.Errorf("the previous build does not say what it does not know: %s", out)
	}
	dashboard := w.start(before.Amoskys, "dashboard")
	if out := dashboard.ended(); !strings.Contains(out, "store") {
		t.Errorf("its dashboard says: %s", out)
	}
	w.write("config/dashboard_config.yaml", text)
	w.startHub(now)
	w.start(before.Amoskys, "dashboard")
	w.until("it runs without the section", func() bool {
		code, _ := health(t, port)
		return code == http.StatusOK
	})
}
