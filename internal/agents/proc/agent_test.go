package proc

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestMain(m *testing.M) {
	if run, ok := helpers()[os.Getenv("PROC_TEST_HELPER")]; ok {
		run()
		return
	}
	goleak.VerifyTestMain(m)
}

func TestTemplateIsTheDefault(t *testing.T) {
	got := Config{}
	if err := config.Decode("template", ConfigTemplate(), &got, config.DecodeOptions{Env: config.NoEnv}); err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	want.Monitoring.MonitoredProcesses, want.Monitoring.ExcludeList = []string{}, []string{}
	want.Mask = Mask{Names: []string{}, Patterns: []string{}, Keep: []string{}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// fake is a host made up by a test.
type fake struct {
	processes map[int]*fakeProcess
	hidden    map[int]bool // listed, and gone when read
	err       error
	up        time.Duration
	wall      time.Duration // how far the wall clock has been set
	reads     int           // of stat
	seen      sight
}

type fakeProcess struct {
	stat   stat
	facts  facts
	fds    *uint32
	number uint64
	denied bool   // may not be read
	open   bool   // its status may be read
	onRead func() // called once, after its facts were read
}

func (f *fake) list(dst []entry) ([]entry, error) {
	for pid, p := range f.processes {
		dst = append(dst, entry{pid, p.number})
	}
	for pid := range f.hidden {
		dst = append(dst, entry{pid, 1})
	}
	return dst, f.err
}

func (f *fake) stat(pid int, s *stat) error {
	f.reads++
	p, ok := f.processes[pid]
	switch {
	case !ok:
		return errors.New("gone")
	case p.denied:
		return errDenied
	}
	*s = p.stat
	return nil
}

func (f *fake) facts(pid, _ int, out *facts) {
	p, ok := f.processes[pid]
	if !ok {
		return
	}
	*out = p.facts
	if hook := p.onRead; hook != nil {
		p.onRead = nil
		hook()
	}
}
func (f *fake) identity(int, *facts) {}
func (f *fake) descriptors(pid, _ int) *uint32 {
	if p, ok := f.processes[pid]; ok {
		return p.fds
	}
	return nil
}
func (f *fake) io(int) (read, written uint64) { return 1, 2 }
func (f *fake) mayReadStatus(pid int) bool {
	p, ok := f.processes[pid]
	return ok && p.open
}

func (f *fake) clock() (up time.Duration, when time.Time) {
	// What was set has no monotonic reading any more; nothing here compares it with another.
	now := time.Now()
	if f.wall != 0 {
		now = now.Round(0).Add(f.wall)
	}
	return f.up, now
}
func (f *fake) cpus() int    { return 4 }
func (f *fake) sight() sight { return f.seen }

// numbers are given to processes that a test adds, each another.
var numbers atomic.Uint64

func (f *fake) add(pid, ppid int, name string, start uint64) *fakeProcess {
	p := &fakeProcess{
		stat:   stat{name: name, state: 'S', ppid: ppid, threads: 1, start: start, vsize: 1 << 20, rssPages: 10, image: image{1, 2, start}},
		facts:  facts{command: name + " -x", args: []string{name, "-x"}, exe: "/usr/bin/" + name, uid: "1000", user: "alice"},
		number: numbers.Add(1),
	}
	f.processes[pid] = p
	return p
}

func newFake(t *testing.T, cfg Monitoring) (*fake, *Agent, *agenttest.Recorder) {
	t.Helper()
	f := &fake{processes: map[int]*fakeProcess{}, hidden: map[int]bool{}, up: time.Hour}
	recorder := agenttest.NewRecorder()
	a, err := newAgent(cfg, agent.Options{
		Registerer: prometheus.NewRegistry(), Publisher: recorder, Condition: func(string, error) {},
		Interval: time.Second, Logger: obs.Discard(),
	}, func() (*table, error) {
		return &table{src: f, hostID: "h", bootID: "b", hz: 100, page: 4096, leader: true}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return f, a, recorder
}

// line describes an event shortly.
func line(ev *pb.Event) string {
	p := ev.GetProcess()
	return fmt.Sprintf("%s %d %s", ev.GetType(), p.GetProcess().GetPid(), p.GetProcess().GetName())
}

// step runs one step and returns what it published.
func step(t *testing.T, a *Agent, r *agenttest.Recorder, due bool) []string {
	t.Helper()
	before := len(r.Events())
	if err := a.step(t.Context(), time.Now(), due); err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, ev := range r.Events()[before:] {
		out = append(out, line(ev))
	}
	return out
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		t.Fatalf("events (-want +got):\n%s", diff)
	}
}

func TestStartsEndsAndReuse(t *testing.T) {
	cfg := DefaultConfig().Monitoring
	f, a, r := newFake(t, cfg)
	f.add(1, 0, "init", 1)
	f.hidden[77] = true
	want(t, step(t, a, r, true), "process.sample 1 init")
	f.add(20, 1, "bash", 500)
	want(t, step(t, a, r, false), "process.execution 20 bash")
	f.add(20, 1, "zsh", 900) // the pid was used again between two scans
	want(t, step(t, a, r, true), "process.exit 20 bash", "process.execution 20 zsh", "process.sample 20 zsh")
	delete(f.processes, 20)
	want(t, step(t, a, r, false), "process.exit 20 zsh")
	f.err = errors.New("no /proc")
	want(t, step(t, a, r, true))

	events := r.Events()
	starts := agenttest.OfType(events, event.TypeProcessExecution)
	if got := starts[0].GetProcess().GetParent(); got.GetName() != "init" || got.GetUid() == "" {
		t.Errorf("parent %v", got)
	}
	if bash, zsh := starts[0].GetProcess().GetProcess().GetUid(), starts[1].GetProcess().GetProcess().GetUid(); bash == zsh {
		t.Error("two processes with one pid have the same uid")
	}
	if exits := agenttest.OfType(events, event.TypeProcessExit); exits[0].GetProcess().GetProcess().GetUid() != starts[0].GetProcess().GetProcess().GetUid() {
		t.Error("exit and start have different uids")
	}
}

func TestOnlyChangedProcessesAreSampled(t *testing.T) {
	cfg := DefaultConfig().Monitoring
	cfg.UnchangedEvery = 3
	f, a, r := newFake(t, cfg)
	f.add(1, 0, "init", 1)
	f.add(2, 1, "busy", 2)
	f.add(3, 1, "growing", 3)
	want(t, step(t, a, r, true), "process.sample 1 init", "process.sample 2 busy", "process.sample 3 growing")
	f.processes[2].stat.utime += 5
	want(t, step(t, a, r, true), "process.sample 2 busy")
	f.processes[3].stat.rssPages += 100
	want(t, step(t, a, r, true), "process.sample 3 growing")
	want(t, step(t, a, r, true), "process.sample 1 init")
}

func TestCPUPercent(t *testing.T) {
	f, a, r := newFake(t, DefaultConfig().Monitoring)
	f.add(1, 0, "busy", 1)
	step(t, a, r, true)
	a.table.byPID[1].base.at = time.Now().Add(-2 * time.Second)
	f.processes[1].stat.utime, f.processes[1].stat.stime = 300, 200 // 5 s in 2 s
	step(t, a, r, true)
	events := r.Events()
	u := events[len(events)-1].GetProcess().GetUsage()
	if math.Abs(u.GetCpuPercent()-250) > 2 || u.GetCpuUser().AsDuration() != 3*time.Second {
		t.Errorf("usage %v, want 250 %%", u)
	}
	if u.FileDescriptors != nil {
		t.Errorf("descriptors %d, want absent", *u.FileDescriptors)
	}
}

func TestExitStatusOfZombies(t *testing.T) {
	f, a, r := newFake(t, DefaultConfig().Monitoring)
	for pid, status := range map[int]int32{5: 3 << 8, 6: 9} {
		p := f.add(pid, 1, "child", uint64(pid))
		p.stat.state, p.stat.exit, p.open = 'Z', status, true
	}
	f.add(8, 1, "secret", 8).stat.state = 'Z' // and its status may not be read
	f.add(7, 1, "unseen", 7)
	step(t, a, r, true)
	clear(f.processes)
	step(t, a, r, false)
	exits := agenttest.OfType(r.Events(), event.TypeProcessExit)
	if len(exits) != 4 || exits[0].GetProcess().GetExitCode() != 3 || exits[1].GetProcess().GetExitSignal() != 9 ||
		exits[2].GetProcess().ExitCode != nil || exits[2].GetProcess().ExitSignal != nil ||
		exits[3].GetProcess().ExitCode != nil || exits[3].GetProcess().ExitSignal != nil {
		t.Errorf("exits %v", exits)
	}
}

func TestFilters(t *testing.T) {
	tests := []struct {
		name                string
		monitored, excluded []string
		want                []string
	}{
		{"all", nil, nil, []string{"bash", "python3", "very-long-name-"}},
		{"by name", []string{"bash"}, nil, []string{"bash"}},
		{"by pattern", []string{"python*"}, nil, []string{"python3"}},
		{"by pid", []string{"12"}, nil, []string{"python3"}},
		{"by program", []string{"very-long-name-of-a-program"}, nil, []string{"very-long-name-"}},
		{"excluded wins", []string{"*"}, []string{"ba??"}, []string{"python3", "very-long-name-"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := DefaultConfig().Monitoring
			cfg.MonitoredProcesses, cfg.ExcludeList = tt.monitored, tt.excluded
			f, a, r := newFake(t, cfg)
			f.add(11, 1, "bash", 1)
			f.add(12, 1, "python3", 1)
			f.add(13, 1, "very-long-name-", 1).facts.exe = "/opt/very-long-name-of-a-program (deleted)"
			step(t, a, r, true)
			got := []string{}
			for _, ev := range r.Events() {
				got = append(got, ev.GetProcess().GetProcess().GetName())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSampleRateIsBySteadyChoice(t *testing.T) {
	cfg := DefaultConfig().Monitoring
	cfg.SampleRate, cfg.UnchangedEvery = 0.3, 1
	f, a, r := newFake(t, cfg)
	const n = 1000
	for pid := 1; pid <= n; pid++ {
		f.add(pid, 0, "p", uint64(pid))
	}
	first := step(t, a, r, true)
	if diff := cmp.Diff(first, step(t, a, r, true)); diff != "" {
		t.Errorf("another choice at the second reading: %s", diff)
	}
	if len(first) < n*25/100 || len(first) > n*35/100 {
		t.Errorf("%d of %d are sampled, want about 30%%", len(first), n)
	}
	f.add(5000, 1, "new", 1)
	if got := step(t, a, r, false); len(got) != 1 {
		t.Errorf("starts are sampled: %v", got)
	}
}

func TestMetricsAreBounded(t *testing.T) {
	cfg := DefaultConfig().Monitoring
	cfg.MetricsTop = 3
	f, a, r := newFake(t, cfg)
	for pid := 1; pid <= 50; pid++ {
		f.add(pid, 0, "same name", 1)
	}
	step(t, a, r, true)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(a.metrics)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "process_cpu_percent" && len(family.GetMetric()) != 3 {
			t.Errorf("%d series, want 3", len(family.GetMetric()))
		}
	}
}
