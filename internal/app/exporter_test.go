package app

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/event/reading"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestExporter: what an agent publishes is on the hub's port of metrics at once, beside the
// hub's own, and docs/metrics.md names all of these.
func TestExporter(t *testing.T) {
	t.Parallel()
	h := &wholeHub{home: config.Home(t.TempDir()), log: &lockedLog{}}
	if err := h.home.Ensure(); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.EnsureLayout(h.home.Certs(), identity.LayoutOptions{Host: "hub1", Canonical: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	cfg := hub.DefaultConfig()
	cfg.Server.Host, cfg.Server.Port, cfg.WAL.MinFreeMB = "127.0.0.1", 0, 0
	cfg.Metrics.Host, cfg.Metrics.Port = "127.0.0.1", 0
	agent := h.issue(t, identity.RoleAgent, "web-1")
	defer h.serveHome(t, cfg)()
	ev := someEvent(time.Now())
	ev.Type = event.TypeProcessSample
	ev.Body = &pb.Event_Process{Process: &pb.ProcessActivity{
		Action: pb.ProcessAction_PROCESS_ACTION_SAMPLE, Process: &pb.Process{Pid: 42, Uid: "u", Name: "nginx"}, Usage: &pb.ProcessUsage{CpuPercent: 12.5},
	}}
	if _, err := pb.NewEventBusClient(h.dial(t, agent)).PublishEvent(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	addr := regexp.MustCompile(`metrics_addr=(\S+)`).FindStringSubmatch(h.log.String())[1]
	want := []byte("\nprocess_cpu_percent{agent=\"proc_agent\",host=\"web-1\",pid=\"42\",process=\"nginx\"} 12.5\n")
	var page []byte
	for !bytes.Contains(page, want) {
		if t.Context().Err() != nil {
			t.Fatalf("the reading is not on the page:\n%s", page)
		}
		page = httpGet(t, "http://"+addr+"/metrics")
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, doc, _ = bytes.Cut(doc, []byte("\n## The hub's own\n"))
	for _, name := range slices.Sorted(maps.Keys(families)) {
		_, ofAgents := reading.FamilyOf(name)
		ofAgents = ofAgents && !strings.HasPrefix(name, "eventbus_")
		if !ofAgents && !strings.HasPrefix(name, "go_") && !bytes.Contains(doc, []byte("\n| `"+name+"` |")) {
			t.Errorf("docs/metrics.md lacks\n%s", row(families[name]))
		}
	}
}

// row is what docs/metrics.md has of a family.
func row(f *dto.MetricFamily) string {
	labels := map[string]bool{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			labels["`"+l.GetName()+"`"] = true
		}
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(slices.Sorted(maps.Keys(labels)), ", "), f.GetHelp())
}

func httpGet(t *testing.T, url string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, res.Status, err)
	}
	return b
}
