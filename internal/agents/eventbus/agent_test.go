package eventbus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/agent/probe"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestConformance(t *testing.T) {
	hub := agenttest.NewHub(t, nil)
	agenttest.Suite{
		Definition: Definition(),
		Config: fmt.Sprintf("agent: {interval_seconds: 0.1}\nmonitoring: {eventbus_host: 127.0.0.1, eventbus_port: %d, "+
			"tls_enabled: false, metrics_export_port: 0}\n", hub.Port(t)),
		Types: []string{event.TypeHubHealth},
		Metrics: []string{
			"eventbus_queue_depth", "eventbus_latency_ms", "eventbus_connections",
			"eventbus_errors_total", "eventbus_throughput_eps",
		},
		Decoders: []agenttest.Decoder{{Name: "GET /health", Seeds: []string{
			`{"status":"degraded","reasons":["the disk is full"],"version":"1","uptime_seconds":12.5,"log":{"state":"ok","next_offset":42,` +
				`"bytes":4096,"quarantined":0,"damaged":1},"connections":3,"throughput_eps":1.5,"events_total":42,"errors_total":1,"queue_depth":0}`,
		}, Decode: func(b []byte) {
			m := measurement{answer: true, served: true}
			var err error
			if m.report, err = probe.ParseReport(b); err != nil {
				return
			}
			// Whatever the hub says, the event about it can be sent.
			ev := &pb.Event{Type: event.TypeHubHealth, Body: &pb.Event_HubHealth{HubHealth: m.message("hub:1")}}
			if _, err := event.Encode(ev); err != nil {
				t.Errorf("%q: %v", b, err)
			}
		}}},
	}.Run(t)
}

func TestTemplateIsTheDefault(t *testing.T) {
	got := Config{}
	if err := config.Decode("template", ConfigTemplate(), &got, config.DecodeOptions{Env: config.NoEnv}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(DefaultConfig(), got); diff != "" {
		t.Error(diff)
	}
}

func TestEventsGoToTheMeasuredHub(t *testing.T) {
	tests := []struct{ name, text, env, want string }{
		{"default", "", "", "localhost:5000"},
		{"monitoring only", "monitoring: {eventbus_host: a.example, eventbus_port: 1}", "", "a.example:1"},
		{"both", "monitoring: {eventbus_host: a.example}\nhub: {host: b.example}", "", "b.example:5000"},
		{"environment", "monitoring: {eventbus_host: a.example}", "c.example", "c.example:5000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "c.yaml")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			loaded, err := Definition().Load(file, config.DecodeOptions{Env: func(name string) (string, bool) {
				return tt.env, name == "EVENTBUS_HOST" && tt.env != ""
			}})
			if err != nil {
				t.Fatal(err)
			}
			if got := loaded.Common.Hub.Addr(); got != tt.want {
				t.Errorf("events go to %s, want %s", got, tt.want)
			}
		})
	}
}

// fake is a hub that answers as told.
type fake struct {
	report    probe.Report
	healthErr error
	took      time.Duration
	checkErr  error
}

func (f *fake) Health(context.Context) (probe.Report, error) { return f.report, f.healthErr }
func (f *fake) Check(context.Context) (time.Duration, error) { return f.took, f.checkErr }
func (f *fake) Close() error                                 { return nil }
func options(r *agenttest.Recorder) (agent.Options, *[]string) {
	faults := &[]string{}
	return agent.Options{
		Registerer: prometheus.NewRegistry(), Publisher: r, Logger: obs.Discard(), Interval: time.Hour, Now: time.Now,
		AckTime: func() time.Duration { return 2 * time.Millisecond },
		Condition: func(name string, err error) {
			if err != nil {
				*faults = append(*faults, name+": "+err.Error())
			}
		},
	}, faults
}

func TestLook(t *testing.T) {
	well := probe.Report{Status: "ok", QueueDepth: 7, Connections: 3, ErrorsTotal: 2, ThroughputEPS: 10.5}
	well.Log.State, well.Log.Bytes, well.Log.NextOffset = "ok", 100, 42
	full := well
	full.Status, full.Reasons = "failed", []string{"disk is full"}
	full.Log.State, full.Log.Reason = "full", "no space"
	damaged := well
	damaged.Status, damaged.Log.Quarantined = "degraded", 2
	met := well
	met.Status, met.Log.Damaged = "degraded", 1
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	tests := []struct {
		name     string
		hub      fake
		status   string
		severity pb.Severity
		reach    bool
		log      string
		fault    string
	}{
		{"well", fake{report: well, took: time.Millisecond}, "ok", pb.Severity_SEVERITY_INFORMATIONAL, true, "ok", ""},
		{"full", fake{report: full}, "failed", pb.Severity_SEVERITY_HIGH, true, "full: no space", "disk is full"},
		{"damaged", fake{report: damaged}, "degraded", pb.Severity_SEVERITY_MEDIUM, true, "damaged: 2 files set aside", "degraded"},
		{"met damage", fake{report: met}, "degraded", pb.Severity_SEVERITY_MEDIUM, true, "damaged: 1 bad place", "degraded"},
		{"gone", fake{healthErr: refused}, "unreachable", pb.Severity_SEVERITY_HIGH, false, "", "connection refused"},
		{"no gRPC", fake{report: well, checkErr: errors.New("not serving")}, "degraded", pb.Severity_SEVERITY_MEDIUM, false, "ok", "not serving"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			recorder := agenttest.NewRecorder()
			o, faults := options(recorder)
			a, err := newAgent(DefaultConfig().Monitoring, o, &tt.hub)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.look(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			ev := recorder.Events()[0]
			h := ev.GetHubHealth()
			if h.GetStatus() != tt.status || ev.GetSeverity() != tt.severity || h.GetReachable() != tt.reach || h.GetLogIntegrity() != tt.log {
				t.Errorf("event %v", ev)
			}
			if got := strings.Join(*faults, "\n"); !strings.Contains(got, tt.fault) || (tt.fault == "") != (got == "") {
				t.Errorf("conditions %q, want %q", got, tt.fault)
			}
			if tt.reach && (h.GetQueueDepth() != 7 || h.GetConnections() != 3 || h.GetLogNextOffset() != 42) {
				t.Errorf("figures %v", h)
			}
		})
	}
}

func TestMetricsOfAHubThatGoesAway(t *testing.T) {
	hub := &fake{report: probe.Report{Status: "ok", QueueDepth: 7}, took: 3 * time.Millisecond}
	o, _ := options(agenttest.NewRecorder())
	a, err := newAgent(DefaultConfig().Monitoring, o, hub)
	if err != nil {
		t.Fatal(err)
	}
	look := func() {
		if _, err := a.look(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	look()
	if _, ok := gauges(t, a.metrics)["eventbus_queue_depth"]; !ok {
		t.Error("no queue depth")
	}
	hub.healthErr = &net.OpError{Op: "dial", Err: errors.New("refused")}
	look()
	got := gauges(t, a.metrics)
	if _, ok := got["eventbus_queue_depth"]; ok {
		t.Error("the queue depth of an unreachable hub is still told")
	}
	if got["amoskys_eventbus_probe_failures_total"] != 1 || got["amoskys_eventbus_reachable"] != 0 {
		t.Errorf("metrics %v", got)
	}
}

// gauges are the gauges and counters that c exports, by name.
func gauges(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if m.GetHistogram() == nil {
				out[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return out
}

// freePort is a port that was free a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestExportPort(t *testing.T) {
	cfg := DefaultConfig().Monitoring
	cfg.MetricsExportPort = freePort(t)
	recorder := agenttest.NewRecorder()
	o, _ := options(recorder)
	a, err := newAgent(cfg, o, &fake{report: probe.Report{Status: "ok"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	recorder.Wait(t, 5*time.Second, "a look", func(events []*pb.Event) bool { return len(events) > 0 })
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", cfg.MetricsExportPort))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if !strings.Contains(string(body), "\neventbus_throughput_eps ") {
		t.Errorf("metrics %s", body)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTakenExportPortDegrades(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := DefaultConfig().Monitoring
	cfg.MetricsExportPort = l.Addr().(*net.TCPAddr).Port
	recorder := agenttest.NewRecorder()
	o, faults := options(recorder)
	a, err := newAgent(cfg, o, &fake{report: probe.Report{Status: "ok"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	recorder.Wait(t, 5*time.Second, "a look", func(events []*pb.Event) bool { return len(events) > 0 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := strings.Join(*faults, "\n"); !strings.Contains(got, "metrics_export: ") || !strings.Contains(got, "is taken by ") || !strings.Contains(got, "set monitoring.metrics_export_port") {
		t.Errorf("conditions %q", got)
	}
}
