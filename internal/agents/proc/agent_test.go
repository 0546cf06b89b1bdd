package proc

import (
	"errors"
	"fmt"
	"math"
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
	// lumberjack never ends the goroutine that removes old files of a log.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}

func TestTemplateIsTheDefault(t *testing.T) {
	got := Config{}
	if err := config.Decode("template", ConfigTemplate(), &got, config.DecodeOptions{Env: config.NoEnv}); err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	want.Monitoring.MonitoredProcesses, want.Monitoring.ExcludeList = []string{}, []string{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// fake is a host made up by a test.
type fake struct {
	processes map[int]*fakeProcess
	hidden    map[int]bool // listed, and gone when read
	err       error
}

type fakeProcess struct {
	stat  stat
	facts facts
	fds   *uint32
}

func (f *fake) list(dst []int) ([]int, error) {
	for pid := range f.processes {
		dst = append(dst, pid)
	}
	for pid := range f.hidden {
		dst = append(dst, pid)
	}
	return dst, f.err
}

func (f *fake) stat(pid int, s *stat) bool {
	p, ok := f.processes[pid]
	if ok {
		*s = p.stat
	}
	return ok
}

func (f *fake) facts(pid int, out *facts) {
	if p, ok := f.processes[pid]; ok {
		*out = p.facts
	}
}
func (f *fake) identity(int, *facts) {}
func (f *fake) descriptors(pid int) *uint32 {
	if p, ok := f.processes[pid]; ok {
		return p.fds
	}
	return nil
}
func (f *fake) io(int) (read, written uint64) { return 1, 2 }

func (f *fake) add(pid, ppid int, name string, start uint64) *fakeProcess {
	p := &fakeProcess{
		stat:  stat{name: name, state: 'S', ppid: ppid, threads: 1, start: start, rssPages: 10},
		facts: facts{command: name + " -x", args: []string{name, "-x"}, exe: "/usr/bin/" + name, uid: "1000", user: "alice"},
	}
	f.processes[pid] = p
	return p
}

func newFake(t *testing.T, cfg Monitoring) (*fake, *Agent, *agenttest.Recorder) {
	t.Helper()
	f := &fake{processes: map[int]*fakeProcess{}, hidden: map[int]bool{}}
	recorder := agenttest.NewRecorder()
	a, err := newAgent(cfg, agent.Options{
		Registerer: prometheus.NewRegistry(), Publisher: recorder, Condition: func(string, error) {},
		Interval: time.Second, Logger: obs.Discard(),
	}, &table{src: f, hostID: "h", bootID: "b", boot: time.Now().Add(-time.Hour), hz: 100, page: 4096})
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
	f.processes[20].stat.name = "vim" // execve
	f.processes[20].facts.exe = "/usr/bin/vim"
	want(t, step(t, a, r, true), "process.execution 20 vim")
	f.processes[20].stat.name = "worker" // prctl(PR_SET_NAME), and setproctitle
	f.processes[20].facts.command = "worker: idle"
	want(t, step(t, a, r, true))
	f.processes[20].stat.stack = 100
	want(t, step(t, a, r, true))     // it may be seen from now on
	f.processes[20].stat.stack = 200 // execve of the same program
	want(t, step(t, a, r, true), "process.execution 20 worker")
	delete(f.processes, 20)
	want(t, step(t, a, r, false), "process.exit 20 worker")
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
	a.table.byPID[1].read = time.Now().Add(-2 * time.Second)
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
		p.stat.state, p.stat.exit = 'Z', status
	}
	f.add(7, 1, "unseen", 7)
	step(t, a, r, true)
	clear(f.processes)
	step(t, a, r, false)
	exits := agenttest.OfType(r.Events(), event.TypeProcessExit)
	if len(exits) != 3 || exits[0].GetProcess().GetExitCode() != 3 || exits[1].GetProcess().GetExitSignal() != 9 ||
		exits[2].GetProcess().ExitCode != nil || exits[2].GetProcess().ExitSignal != nil {
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
