package agenttest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/task"
	"github.com/amoskys/amoskys/internal/config"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Suite is one agent under test. Its test runs in the agent's own folder, which
// holds README.md and testdata.
type Suite struct {
	Definition agent.Definition
	// Config makes the agent publish soon: YAML, without hub, spool and http.
	Config string
	// Types are event types of which one each must come within Limit.
	Types []string
	// Decoders are all functions of the agent that read bytes from outside. Where
	// there are none, NothingOutside says why.
	Decoders       []Decoder
	NothingOutside string
	// Metrics are names the agent must export.
	Metrics []string
	Limit   time.Duration // 10 s
}

// stopLimit is how long an agent may take to return when its context ends.
const stopLimit = 2 * time.Second

// Run runs the suite.
func (s Suite) Run(t *testing.T) {
	t.Helper()
	if s.Limit == 0 {
		s.Limit = 10 * time.Second
	}
	t.Run("definition", s.definition)
	t.Run("readme", s.readme)
	t.Run("template", s.template)
	t.Run("good and bad files", s.files)
	t.Run("unknown key", s.unknownKey)
	t.Run("agent", s.agentAlone)
	t.Run("runtime", s.runtime)
	t.Run("disabled", s.disabled)
	t.Run("hostile bytes", s.decoders)
	t.Run("hostile tasks", s.hostileTasks)
}

func (s Suite) definition(t *testing.T) {
	d := s.Definition
	if d.Kind == "" || d.ID == "" || d.Port == 0 || d.ConfigName == "" || d.Summary == "" {
		t.Errorf("incomplete definition %+v", d)
	}
	if err := task.Check(d.Tasks); err != nil {
		t.Error(err)
	}
	loaded, err := d.Load(filepath.Join(t.TempDir(), "missing.yaml"), config.DecodeOptions{Env: config.NoEnv})
	if err != nil {
		t.Fatalf("the defaults are not valid: %v", err)
	}
	if c := loaded.Common; c.ID != d.ID || c.HTTP.Port != d.Port || c.HTTP.Host != "127.0.0.1" || !c.Enabled {
		t.Errorf("defaults %+v differ from the definition", c)
	}
}

// Headings are the sections of an agent's README.
func Headings() []string {
	return []string{"## Name", "## What it does", "## Configuration", "## Metrics", "## Privileges"}
}

func (s Suite) readme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	rest := string(text)
	for _, h := range Headings() {
		_, after, ok := strings.Cut(rest, "\n"+h+"\n")
		if !ok {
			t.Fatalf("README.md lacks %q, or has it out of order", h)
		}
		rest = after
	}
	for _, key := range regexp.MustCompile(`(?m)^\s*#?\s?([a-z_]+):`).FindAllStringSubmatch(s.ownTemplate(), -1) {
		if !strings.Contains(string(text), key[1]) {
			t.Errorf("README.md does not mention the key %s", key[1])
		}
	}
	for _, k := range s.Definition.Tasks {
		if !strings.Contains(string(text), "| `"+k.Name+"` |") {
			t.Errorf("README.md has no line for the task %s", k.Name)
		}
	}
}

// ownTemplate is the part of the template that is not shared by all agents.
func (s Suite) ownTemplate() string {
	text := strings.ReplaceAll(string(s.Definition.Template()), agent.CommonSection(s.Definition.Port).Text, "")
	_, own, _ := strings.Cut(text, "stop_timeout_seconds")
	return own
}

func (s Suite) template(t *testing.T) {
	file := filepath.Join(t.TempDir(), "template.yaml")
	if err := os.WriteFile(file, s.Definition.Template(), 0o600); err != nil {
		t.Fatal(err)
	}
	o := config.DecodeOptions{Env: config.NoEnv}
	got, err := s.Definition.Load(file, o)
	if err != nil {
		t.Fatalf("the template is not valid: %v", err)
	}
	want, err := s.Definition.Load(file+".missing", o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Common, got.Common); diff != "" {
		t.Errorf("the template differs from the defaults (-default +template):\n%s", diff)
	}
}

// files checks testdata: each *.bad.yaml says on lines "# want: TEXT" what its
// faults must hold.
func (s Suite) files(t *testing.T) {
	good, _ := filepath.Glob("testdata/*.good.yaml")
	bad, _ := filepath.Glob("testdata/*.bad.yaml")
	if len(good) == 0 || len(bad) == 0 {
		t.Fatalf("testdata has %d good and %d bad files", len(good), len(bad))
	}
	o := config.DecodeOptions{Env: config.NoEnv}
	for _, file := range good {
		if _, err := s.Definition.Load(file, o); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, file := range bad {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		wants := regexp.MustCompile(`(?m)^# want: (.+)$`).FindAllStringSubmatch(string(text), -1)
		_, err = s.Definition.Load(file, o)
		if err == nil || len(wants) == 0 {
			t.Errorf("%s: error %v, %d wants", file, err, len(wants))
			continue
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want[1]) {
				t.Errorf("%s: the faults do not hold %q:\n%v", file, want[1], err)
			}
		}
	}
}

func (s Suite) unknownKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "typo.yaml")
	if err := os.WriteFile(file, []byte("agent:\n  intervall_seconds: 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.Definition.Load(file, config.DecodeOptions{Env: config.NoEnv})
	if err == nil || !strings.Contains(err.Error(), `did you mean "interval_seconds"`) {
		t.Errorf("error %v", err)
	}
}

func (s Suite) write(t *testing.T, extra string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(file, []byte(s.Config+"\n"+extra), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// agentAlone runs the agent without the runtime.
func (s Suite) agentAlone(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	loaded, err := s.Definition.Load(s.write(t, ""), config.DecodeOptions{Env: config.NoEnv})
	if err != nil {
		t.Fatal(err)
	}
	registry, recorder := prometheus.NewPedanticRegistry(), NewRecorder()
	recorder.origin.Observes = s.Definition.Observes
	a, err := loaded.New(s.options(t, loaded.Common, registry, recorder))
	if err != nil {
		t.Fatal(err)
	}
	stop := s.start(t, a.Run)
	recorder.Wait(t, s.Limit, strings.Join(s.Types, ", "), func(events []*pb.Event) bool { return hasAll(events, s.Types) })
	s.checkMetrics(t, registry)
	stop()
	if faults := recorder.Faults(); len(faults) > 0 {
		t.Errorf("events that the hub would refuse: %v", faults)
	}
	goleak.VerifyNone(t, ignore)
}

func hasAll(events []*pb.Event, types []string) bool {
	for _, typ := range types {
		if len(OfType(events, typ)) == 0 {
			return false
		}
	}
	return true
}

// start runs something until the returned function is called, which checks that
// it ends in time and without error.
func (s Suite) start(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(stopLimit):
			t.Errorf("still running %v after its context ended", stopLimit)
			if err := <-done; err != nil { // leave no goroutine to the next test
				t.Errorf("run: %v", err)
			}
		}
	}
}

// checkMetrics wants every metric in the README, and the promised ones there.
func (s Suite) checkMetrics(t *testing.T, g prometheus.Gatherer) {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Errorf("gather: %v", err)
	}
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, f := range families {
		have[f.GetName()] = true
		if !strings.Contains(string(text), "`"+f.GetName()+"`") {
			t.Errorf("README.md does not document the metric %s", f.GetName())
		}
	}
	for _, name := range s.Metrics {
		if !have[name] {
			t.Errorf("metric %s is not exported", name)
		}
	}
}

// runtime runs the agent in the real runtime against a hub.
func (s Suite) runtime(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	hub := NewHub(t, nil)
	file := s.write(t, fmt.Sprintf("hub: {host: 127.0.0.1, port: %d, tls_enabled: false}\nhttp: {port: 0}\n", hub.Port(t)))
	home := config.Home(t.TempDir())
	ready := make(chan net.Addr, 1)
	stop := s.start(t, func(ctx context.Context) error {
		return agent.Run(ctx, agent.RunOptions{
			Definition: s.Definition, Home: home, File: file, Decode: config.DecodeOptions{Env: config.NoEnv},
			OnReady: func(a net.Addr) { ready <- a },
		})
	})
	var addr net.Addr
	select {
	case addr = <-ready:
	case <-time.After(s.Limit):
		stop()
		t.Fatal("the agent did not get ready")
	}
	hub.Wait(t, s.Limit, "events", func(events []*pb.Event) bool {
		return hasAll(events, append([]string{"agent.health"}, s.Types...))
	})
	var status agent.Status
	if err := json.Unmarshal(get(t, addr, "/status", http.StatusOK), &status); err != nil {
		t.Fatal(err)
	}
	if status.ID != s.Definition.ID || status.Kind != s.Definition.Kind || status.EventsTotal == 0 || !status.Hub.Connected {
		t.Errorf("status %+v", status)
	}
	get(t, addr, "/healthz", http.StatusOK)
	metrics := string(get(t, addr, "/metrics", http.StatusOK))
	for _, name := range append([]string{"amoskys_agent_events_total"}, s.Metrics...) {
		if !strings.Contains(metrics, "\n"+name) {
			t.Errorf("/metrics lacks %s", name)
		}
	}
	stop()
	hub.Stop()
	if faults := hub.Faults(); len(faults) > 0 {
		t.Errorf("the hub refused: %v", faults)
	}
	if _, err := os.Stat(home.AgentLog(s.Definition.ID)); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, ignore)
}

func get(t *testing.T, addr net.Addr, path string, want int) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr.String()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		t.Fatalf("GET %s: %s, error %v, body %.200s", path, resp.Status, err, body)
	}
	return body
}

func (s Suite) disabled(t *testing.T) {
	err := agent.Run(t.Context(), agent.RunOptions{
		Definition: s.Definition, Home: config.Home(t.TempDir()),
		File: s.write(t, ""), Decode: config.DecodeOptions{Env: func(name string) (string, bool) {
			return "false", name == "AMOSKYS_AGENT_ENABLED"
		}},
	})
	if err == nil || !strings.Contains(err.Error(), "agent.enabled is false") {
		t.Errorf("error %v", err)
	}
}
