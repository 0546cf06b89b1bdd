package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// ticker publishes one numbered event each millisecond.
type ticker struct {
	o     agent.Options
	count *atomic.Int64
	fail  error
}

// padding makes a small spool fill soon: it does not pack.
func padding() map[string]string {
	b := make([]byte, 2000)
	for i := range b {
		b[i] = byte('!' + rand.IntN(94))
	}
	return map[string]string{"padding": string(b)}
}

func (a ticker) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return a.fail
		case <-tick.C:
		}
		ev := &pb.Event{Type: "test.tick", Message: strconv.FormatInt(a.count.Load(), 10), Labels: padding()}
		if err := a.o.Publisher.Publish(ctx, ev); err != nil {
			return a.fail // ctx has ended
		}
		a.count.Add(1)
	}
}

type tickConfig struct {
	agent.Common `yaml:",inline"`
}

func (c *tickConfig) Validate(v *config.Check) { c.Common.Validate(v) }

// definition is an agent made of a ticker.
func definition(count *atomic.Int64, fail error) agent.Definition {
	return tickDefinition(func(o agent.Options) (agent.Agent, error) { return ticker{o, count, fail}, nil })
}

// tickDefinition is the definition of an agent that create makes.
func tickDefinition(create func(agent.Options) (agent.Agent, error)) agent.Definition {
	return agent.Define(agent.Definition{Kind: "tick", ID: "tick_agent", Port: 50099, ConfigName: "tick"},
		func() tickConfig { return tickConfig{agent.DefaultCommon("tick_agent", 50099, 1)} },
		func(_ tickConfig, o agent.Options) (agent.Agent, error) { return create(o) })
}

// world is a home folder with certificates and a hub that proves itself.
type world struct {
	home  config.Home
	hub   *agenttest.Hub
	count atomic.Int64
	file  string
}

func newWorld(t *testing.T, extra string) *world {
	t.Helper()
	w := &world{home: config.Home(t.TempDir())}
	if _, err := identity.EnsureLayout(w.home.Certs(), identity.LayoutOptions{Host: "localhost", Hosts: []string{"localhost", "127.0.0.1"}}); err != nil {
		t.Fatal(err)
	}
	cfg, err := identity.ServerConfig(identity.FilesFor(w.home.Certs(), "eventbus"), identity.ServerOptions{Allow: []identity.Role{identity.RoleAgent}, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	w.hub = agenttest.NewHub(t, cfg)
	w.file = filepath.Join(t.TempDir(), "tick.yaml")
	text := fmt.Sprintf("hub: {host: 127.0.0.1, port: %d}\nhttp: {port: 0}\n%s", w.hub.Port(t), extra)
	if err := os.WriteFile(w.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// start runs the agent until the returned function is called, which returns what
// Run did.
func (w *world) start(t *testing.T, fail error) (addr net.Addr, stop func() error) {
	t.Helper()
	return w.startAs(t, definition(&w.count, fail))
}

// startAs is start for another agent.
func (w *world) startAs(t *testing.T, d agent.Definition) (addr net.Addr, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		done <- agent.Run(ctx, agent.RunOptions{
			Definition: d, Home: w.home, File: w.file,
			Decode: config.DecodeOptions{Env: config.NoEnv}, OnReady: func(a net.Addr) { ready <- a },
		})
	}()
	t.Cleanup(cancel)
	select {
	case addr = <-ready:
	case err := <-done:
		t.Fatalf("the agent ended: %v", err)
	case <-time.After(10 * time.Second):
		t.Fatal("the agent does not get ready")
	}
	return addr, func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(20 * time.Second):
			t.Fatal("the agent does not stop")
			return nil
		}
	}
}

// ticks are the numbers of the events that arrived.
func ticks(events []*pb.Event) map[string]int {
	out := map[string]int{}
	for _, ev := range agenttest.OfType(events, "test.tick") {
		out[ev.GetMessage()]++
	}
	return out
}

func (w *world) wantOnce(t *testing.T) {
	t.Helper()
	n := int(w.count.Load())
	got := ticks(w.hub.Events())
	if len(got) != n {
		t.Errorf("%d of %d events arrived", len(got), n)
	}
	for k, times := range got {
		if times != 1 {
			t.Errorf("event %s arrived %d times", k, times)
		}
	}
	if faults := w.hub.Faults(); len(faults) > 0 {
		t.Errorf("faults %v", faults)
	}
}

func status(t *testing.T, addr net.Addr) agent.Status {
	t.Helper()
	var s agent.Status
	if err := json.Unmarshal(get(t, addr, "/status"), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func get(t *testing.T, addr net.Addr, path string) []byte {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + addr.String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return body
}

// until polls a page, because nothing tells when it changes.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited too long until %s", what)
		}
	}
}

// TestHubAwayAndBack is the promise of the spool: with the hub gone for a while,
// and gone again, every event arrives once.
func TestHubAwayAndBack(t *testing.T) {
	w := newWorld(t, "")
	addr, stop := w.start(t, nil)
	w.hub.Wait(t, 10*time.Second, "events", func(events []*pb.Event) bool { return len(ticks(events)) > 50 })
	for range 3 {
		w.hub.Stop()
		mark := w.count.Load()
		until(t, "events pile up", func() bool { return w.count.Load() > mark+200 })
		if s := status(t, addr); s.SpoolEvents == 0 || s.EventsDropped != 0 {
			t.Errorf("status while the hub is away: %+v", s)
		}
		w.hub.Start(t)
		want := int(w.count.Load())
		w.hub.Wait(t, 20*time.Second, "what was spooled", func(events []*pb.Event) bool { return len(ticks(events)) >= want })
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.wantOnce(t)
	health := agenttest.OfType(w.hub.Events(), "agent.health")
	if last := health[len(health)-1].GetAgentHealth(); last.GetState() != pb.AgentState_AGENT_STATE_STOPPING || last.GetEventsTotal() == 0 {
		t.Errorf("last health %v", last)
	}
}

// TestStopWithoutHub: what could not be sent stays for the next start.
func TestStopWithoutHub(t *testing.T) {
	w := newWorld(t, "")
	w.hub.Stop()
	_, stop := w.start(t, nil)
	until(t, "events are spooled", func() bool { return w.count.Load() > 100 })
	begin := time.Now()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("stopping without a hub took %v", took)
	}
	w.hub.Start(t)
	_, stop = w.start(t, nil)
	want := int(w.count.Load())
	w.hub.Wait(t, 20*time.Second, "the spooled events", func(events []*pb.Event) bool { return len(ticks(events)) >= want })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	// Both runs numbered from where the count stood, so each number is one event.
	w.wantOnce(t)
}

func TestSpoolLimitIsReported(t *testing.T) {
	w := newWorld(t, "spool: {max_mb: 1}\n")
	w.hub.Stop()
	addr, stop := w.start(t, nil)
	until(t, "the spool is full", func() bool { return status(t, addr).EventsDropped > 0 })
	s := status(t, addr)
	if s.SpoolBytes > 1<<20 {
		t.Errorf("status %+v", s)
	}
	if metrics := string(get(t, addr, "/metrics")); !strings.Contains(metrics, `amoskys_agent_events_dropped_total{agent_id="tick_agent",reason="full"}`) {
		t.Error("drops are not among the metrics")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedSpoolIsReported: what damage has cost is counted from the start, and the
// agent's first word is that it is degraded, and why.
func TestDamagedSpoolIsReported(t *testing.T) {
	w := newWorld(t, "")
	w.hub.Stop()
	addr, stop := w.start(t, nil)
	until(t, "events are spooled", func() bool { return status(t, addr).SpoolEvents > 100 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(w.home.Data(), "spool", "*", "packed", "*.spool"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	info, err := os.Stat(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(segments[0], make([]byte, info.Size()), 0o600); err != nil {
		t.Fatal(err)
	}
	w.hub.Start(t)
	addr, stop = w.start(t, nil)
	s := status(t, addr)
	until(t, "it says so", func() bool { s = status(t, addr); return s.State == "degraded" })
	if s.EventsDropped < 100 || s.DropsByReason["damaged"] != s.EventsDropped || !strings.Contains(s.Detail, fmt.Sprintf("%d events are lost", s.EventsDropped)) {
		t.Errorf("status %+v", s)
	}
	w.hub.Wait(t, 20*time.Second, "its health", func(events []*pb.Event) bool {
		for _, ev := range events {
			if h := ev.GetAgentHealth(); h != nil {
				return h.GetState() == pb.AgentState_AGENT_STATE_DEGRADED && h.GetEventsDroppedTotal() == s.EventsDropped && strings.Contains(h.GetDetail(), "the spool was damaged")
			}
		}
		return false
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestWrongCertificateSaysWhy(t *testing.T) {
	w := newWorld(t, "")
	other := t.TempDir()
	if _, err := identity.EnsureLayout(other, identity.LayoutOptions{Host: "localhost"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"agent.crt", "agent.key"} {
		b, err := os.ReadFile(filepath.Join(other, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(w.home.Certs(), name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	addr, stop := w.start(t, nil)
	until(t, "the reason shows", func() bool { return status(t, addr).Hub.LastError != "" })
	if s := status(t, addr); s.Hub.Connected || !strings.Contains(s.Hub.LastError, "agent.crt") {
		t.Errorf("hub %+v", s.Hub)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestStartFaults(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	tests := []struct {
		name, extra string
		breakIt     func(t *testing.T, w *world)
		want        string
	}{
		{"no certificates", "", func(t *testing.T, w *world) {
			t.Helper()
			if err := os.RemoveAll(w.home.Certs()); err != nil {
				t.Fatal(err)
			}
		}, "prepare connection to the hub"},
		{"spool in use", "", func(t *testing.T, w *world) {
			t.Helper()
			_, stop := w.start(t, nil)
			t.Cleanup(func() { _ = stop() })
		}, "in use by process"},
		{"port taken", fmt.Sprintf("http: {port: %d}\n", port), nil, fmt.Sprintf("(process %d)", os.Getpid())},
		{"spool cannot be made", "spool: {path: /dev/null/x}\n", nil, "open spool"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, "")
			if tt.breakIt != nil {
				tt.breakIt(t, w)
			}
			text, err := os.ReadFile(w.file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(tt.extra, "http:") {
				text = []byte(strings.Replace(string(text), "http: {port: 0}\n", "", 1))
			}
			if err := os.WriteFile(w.file, append(text, tt.extra...), 0o600); err != nil {
				t.Fatal(err)
			}
			err = agent.Run(t.Context(), agent.RunOptions{
				Definition: definition(&w.count, nil), Home: w.home, File: w.file, Decode: config.DecodeOptions{Env: config.NoEnv},
			})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAgentErrorEndsRunAndIsLogged(t *testing.T) {
	w := newWorld(t, "")
	_, stop := w.start(t, fmt.Errorf("sensor broke"))
	until(t, "events", func() bool { return w.count.Load() > 5 })
	if err := stop(); err == nil || !strings.Contains(err.Error(), "sensor broke") {
		t.Errorf("error %v", err)
	}
	w.wantOnce(t) // what was published before still goes out
	text, err := os.ReadFile(w.home.Errors())
	if err != nil || !strings.Contains(string(text), "sensor broke") {
		t.Errorf("errors.log: %v %q", err, text)
	}
}
