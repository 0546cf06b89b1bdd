// Package outage_test takes the hub away from a running agent and gives it back:
// real programs, and every event has to arrive once, in order.
package outage_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/agents/synth"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/tail"
)

// lengthVariable sets how long the hub is away, as a duration such as 60s.
const lengthVariable = "AMOSKYS_TEST_OUTAGE"

// What the agent generates. The time of day decides the rate, so it is fixed.
const (
	seed  = 42
	rate  = 500
	start = "2026-01-31T12:00:00Z"
)

// agentID is the id of the generator.
const agentID = "synth_agent"

var programs string

func TestMain(m *testing.M) {
	os.Exit(run(m)) //nolint:forbidigo // the programs are removed first
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "amoskys-outage-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.CommandContext(context.Background(), "go", "build", "-o", dir+"/", "./cmd/amoskys", "./cmd/amoskys-agent")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		return 1
	}
	programs = dir
	return m.Run()
}

func TestOutage(t *testing.T) {
	length := 2 * time.Second
	if text := os.Getenv(lengthVariable); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", lengthVariable, err)
		}
	}
	tests := []struct {
		name      string
		hub       os.Signal // ends the hub
		killAgent bool      // during the outage, and starts it again
	}{
		{name: "hub stopped in order", hub: syscall.SIGTERM},
		{name: "hub killed", hub: syscall.SIGKILL},
		{name: "hub and agent killed", hub: syscall.SIGKILL, killAgent: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHome(t)
			hub := h.start(t, "amoskys", "hub")
			agent := h.start(t, "amoskys-agent", "agent", "synth")
			h.until(t, "events are acknowledged", func(s status) bool { return s.Acked > rate/10 })

			hub.stop(t, tt.hub)
			h.until(t, "the agent sees that the hub is gone", func(s status) bool { return !s.Hub.Connected })
			away := h.status(t)
			<-time.After(length)
			during := h.until(t, "events gather in the spool", func(s status) bool {
				return s.Spooled > away.Spooled && s.Total > s.Acked
			})
			if during.Acked > away.Acked {
				t.Errorf("acknowledged without a hub: %d, before %d", during.Acked, away.Acked)
			}
			if tt.killAgent {
				agent.stop(t, syscall.SIGKILL)
				agent = h.start(t, "amoskys-agent", "agent", "synth")
				h.until(t, "the second life publishes", func(s status) bool { return s.Total > rate/10 })
			}

			hub = h.start(t, "amoskys", "hub")
			h.until(t, "what was spooled is acknowledged", func(s status) bool {
				return s.Acked >= during.Spooled && s.Spooled < rate
			})
			agent.stop(t, syscall.SIGTERM)
			got := h.subscribe(t)
			hub.stop(t, syscall.SIGTERM)
			if tt.killAgent {
				checkRestarted(t, got)
				return
			}
			check(t, got, during.Total)
		})
	}
}

// check wants the events of the generator, each once and in order. The agent
// also reports its own health, so at least what it counted must be there.
func check(t *testing.T, got received, total uint64) {
	t.Helper()
	if len(got.ids)+got.others < int(total) {
		t.Errorf("%d events arrived, the agent had published %d during the outage", len(got.ids)+got.others, total)
	}
	if diff := cmp.Diff(expected(t, len(got.ids)), got.ids); diff != "" {
		t.Errorf("events differ from what was generated (-want +got):\n%.2000s", diff)
	}
	t.Logf("%d synthetic events and %d of the agent's own arrived, each once", len(got.ids), got.others)
}

// checkRestarted wants what the first life of the agent had spooled and all of
// the second's. Both begin with the same events: the generator starts anew. What
// the first generated at last and did not spool is unknown, so its end is open.
func checkRestarted(t *testing.T, got received) {
	t.Helper()
	if len(got.ids) == 0 {
		t.Fatal("no event arrived")
	}
	second := len(got.ids)
	for i := 1; i < len(got.ids); i++ {
		if got.ids[i] == got.ids[0] {
			second = i
			break
		}
	}
	if second == len(got.ids) {
		t.Fatal("the second life of the agent published nothing")
	}
	want := append(expected(t, second), expected(t, len(got.ids)-second)...)
	if diff := cmp.Diff(want, got.ids); diff != "" {
		t.Errorf("events differ from what was generated twice (-want +got):\n%.2000s", diff)
	}
	t.Logf("%d events of the first life and %d of the second arrived, each once", second, len(got.ids)-second)
}

// expected is the ids of the first n events of the generator.
func expected(t *testing.T, n int) []string {
	t.Helper()
	at, err := time.Parse(time.RFC3339, start)
	if err != nil {
		t.Fatal(err)
	}
	cfg := synth.DefaultConfig(agentID).Synthetic
	cfg.Seed, cfg.Rate, cfg.StartTime = seed, rate, start
	g := synth.NewGenerator(cfg, at)
	ids := make([]string, 0, n)
	for range n {
		ids = append(ids, event.IDString(g.Next().GetId()))
	}
	return ids
}

// received is what the log holds.
type received struct {
	ids    []string // of synthetic events, in the order of the log
	others int
}

// subscribe reads everything from offset 0.
func (h *home) subscribe(t *testing.T) received {
	t.Helper()
	var got received
	var next uint64
	err := tail.Run(t.Context(), tail.Options{
		Hub: "localhost:" + strconv.Itoa(h.hubPort),
		Files: identity.Files{
			CA: filepath.Join(h.dir, "certs", "ca.crt"), Cert: filepath.Join(h.dir, "certs", "operator.crt"),
			Key: filepath.Join(h.dir, "certs", "operator.key"),
		},
		Request: reader.Request{Resume: true, NoFollow: true}, // from offset 0
		Print: func(e *reader.Event) error {
			if e.Offset != next {
				t.Errorf("offset %d arrived, want %d", e.Offset, next)
			}
			next = e.Offset + 1
			var ev pb.Event
			if err := proto.Unmarshal(e.Encoded, &ev); err != nil {
				return fmt.Errorf("read event %d: %w", e.Offset, err)
			}
			if ev.GetLabels()["synthetic"] == "true" {
				got.ids = append(got.ids, event.IDString(ev.GetId()))
			} else {
				got.others++
			}
			return nil
		},
		Notice: func(text string) { t.Error(text) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// home is a folder with certificates and configuration on free ports.
type home struct {
	dir                string
	hubPort, agentPort int
}

func newHome(t *testing.T) *home {
	t.Helper()
	ports := freePorts(t, 3)
	h := &home{dir: t.TempDir(), hubPort: ports[0], agentPort: ports[1]}
	files := map[string]string{
		"eventbus_config.yaml": fmt.Sprintf("server: {host: 127.0.0.1, port: %d}\nmetrics: {host: 127.0.0.1, port: %d}\nwal: {min_free_mb: 1}\n", ports[0], ports[2]),
		"agents/mac_telemetry_config.yaml": fmt.Sprintf("synthetic: {seed: %d, rate: %d, start_time: %q}\nhub: {port: %d}\nhttp: {port: %d}\nagent: {stop_timeout_seconds: 30}\n",
			seed, rate, start, ports[0], ports[1]),
	}
	for name, text := range files {
		file := filepath.Join(h.dir, "config", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := h.command(t, "amoskys", "certs", "init").CombinedOutput(); err != nil {
		t.Fatalf("certs init: %v\n%s", err, out)
	}
	return h
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	ports := make([]int, 0, n)
	for range n {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert // of a TCP listener
	}
	return ports
}

func (h *home) command(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(programs, program), append(args, "--home", h.dir)...)
	cmd.Dir = h.dir
	return cmd
}

// process is a program that runs until it is stopped.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan error
}

func (h *home) start(t *testing.T, program string, args ...string) *process {
	t.Helper()
	p := &process{name: args[0], cmd: h.command(t, program, args...), done: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = t.Output(), t.Output()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

// stop ends the process and waits for it. What is asked to end must end well.
func (p *process) stop(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("stop %s: %v", p.name, err)
	}
	select {
	case err := <-p.done:
		if err != nil && sig != syscall.SIGKILL {
			t.Fatalf("%s ended with %v", p.name, err)
		}
	case <-time.After(time.Minute):
		t.Fatalf("%s did not end within a minute", p.name)
	}
}

// status is what the test needs of the agent's /status.
type status struct {
	Total   uint64 `json:"events_total"`
	Acked   uint64 `json:"events_acked_total"`
	Dropped uint64 `json:"events_dropped_total"`
	Refused uint64 `json:"events_refused_total"`
	Spooled uint64 `json:"spool_events"`
	Hub     struct {
		Connected bool `json:"connected"`
	} `json:"hub"`
}

func (h *home) status(t *testing.T) status {
	t.Helper()
	s, err := h.ask(t)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (h *home) ask(t *testing.T) (status, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/status", h.agentPort), http.NoBody)
	if err != nil {
		return status{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return status{}, err
	}
	defer resp.Body.Close()
	var s status
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		return status{}, err
	}
	return s, nil
}

// until waits for the agent's status to be as told and returns it. Nothing may be
// lost on the way.
func (h *home) until(t *testing.T, what string, good func(status) bool) status {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		s, err := h.ask(t)
		if s.Dropped > 0 || s.Refused > 0 {
			t.Fatalf("events were lost: %+v", s)
		}
		if err == nil && good(s) {
			return s
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within a minute: %s; %+v, %v", what, s, err)
		}
	}
}
