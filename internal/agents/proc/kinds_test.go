package proc

import (
	"math"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestWhatIsAnExecution: only execve(2) is, whatever else changes its looks.
func TestWhatIsAnExecution(t *testing.T) {
	unseen := image{}
	tests := []struct {
		name   string
		before func(p *fakeProcess)
		change func(p *fakeProcess)
		want   []string
	}{
		{"another program", nil, func(p *fakeProcess) {
			p.stat.name, p.facts.exe, p.stat.image.stack = "vim", "/usr/bin/vim", 900
		}, []string{"process.execution 20 vim"}},
		{"the same program again", nil, func(p *fakeProcess) { p.stat.image.stack = 900 }, []string{"process.execution 20 sh"}},
		{"another program without address randomisation", nil, func(p *fakeProcess) { p.stat.image.end = 900 }, []string{"process.execution 20 sh"}},
		{
			"the first after a fork, of another user", func(p *fakeProcess) { p.stat.image, p.stat.forked = unseen, true },
			func(p *fakeProcess) { p.stat.forked = false },
			[]string{"process.execution 20 sh"},
		},
		{"a set-uid program", nil, func(p *fakeProcess) { p.stat.image, p.stat.name = unseen, "su" }, nil},
		{"a set-uid program and back", nil, func(p *fakeProcess) { p.stat.image = unseen }, nil},
		{"file replaced", nil, func(p *fakeProcess) { p.facts.exe += " (deleted)" }, nil},
		{"renamed and file replaced", nil, func(p *fakeProcess) { p.stat.name = "sh: idle"; p.facts.exe += " (deleted)" }, nil},
		{"renamed and file moved", nil, func(p *fakeProcess) { p.stat.name = "sh: idle"; p.facts.exe = "/opt/sh.old" }, nil},
		{"title written", nil, func(p *fakeProcess) { p.stat.name, p.facts.command = "worker", "worker: idle" }, nil},
		{
			"title written, of another user", func(p *fakeProcess) { p.stat.image, p.facts.exe = unseen, "" },
			func(p *fakeProcess) { p.stat.name, p.facts.command = "worker", "worker: idle" }, nil,
		},
		{"may be seen from now on", func(p *fakeProcess) { p.stat.image = unseen }, func(p *fakeProcess) { p.stat.image.stack = 7 }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := DefaultConfig().Monitoring
			cfg.SampleRate = 0
			f, a, r := newFake(t, cfg)
			p := f.add(20, 1, "sh", 500)
			if tt.before != nil {
				tt.before(p)
			}
			step(t, a, r, true)
			tt.change(p)
			want(t, step(t, a, r, true), tt.want...)
			want(t, step(t, a, r, true))
		})
	}
}

// TestForkAndExecveInOneStep make one event each, with the facts of its own time.
func TestForkAndExecveInOneStep(t *testing.T) {
	cfg := DefaultConfig().Monitoring
	cfg.SampleRate = 0
	f, a, r := newFake(t, cfg)
	step(t, a, r, true)
	p := f.add(20, 1, "bash", 500)
	p.stat.forked = true
	a.table.watch = func(*process) bool { // called when its facts were read, before the step reads it again
		p.stat.forked, p.stat.name, p.facts.command, p.facts.exe, p.stat.image.stack = false, "ls", "ls -l", "/usr/bin/ls", 900
		return true
	}
	want(t, step(t, a, r, true), "process.execution 20 bash", "process.execution 20 ls")
	starts := agenttest.OfType(r.Events(), event.TypeProcessExecution)
	if got := starts[0].GetProcess().GetProcess(); got.GetExecutable() != "/usr/bin/bash" || got.GetCmdLine() != "bash -x" {
		t.Errorf("the fork has the facts of what it became: %v", got)
	}
	if got := starts[1].GetProcess().GetProcess(); got.GetExecutable() != "/usr/bin/ls" || got.GetCmdLine() != "ls -l" {
		t.Errorf("the program has the facts of the fork: %v", got)
	}
}

// TestExecveWhileItIsRead: name and command line are of one program.
func TestExecveWhileItIsRead(t *testing.T) {
	f, a, r := newFake(t, DefaultConfig().Monitoring)
	f.add(1, 0, "init", 1)
	step(t, a, r, true)
	p := f.add(20, 1, "bash", 500)
	p.onRead = func() { p.stat.name, p.facts.command, p.stat.image.stack = "ls", "ls -l", 900 }
	want(t, step(t, a, r, false), "process.execution 20 ls")
	if got := agenttest.OfType(r.Events(), event.TypeProcessExecution)[0].GetProcess().GetProcess(); got.GetCmdLine() != "ls -l" {
		t.Errorf("the command line is %q", got.GetCmdLine())
	}
}

// TestPidGivenAgain between two looks is another process, though both looks find it.
func TestPidGivenAgain(t *testing.T) {
	f, a, r := newFake(t, DefaultConfig().Monitoring)
	f.add(1, 0, "init", 1)
	f.add(20, 1, "sleep", 500)
	step(t, a, r, true)
	f.add(20, 1, "tail", 700)
	want(t, step(t, a, r, false), "process.exit 20 sleep", "process.execution 20 tail")
	f.processes[20].number = numbers.Add(1) // the kernel has forgotten its inode
	want(t, step(t, a, r, false))
	f.processes[20].number = 0 // a /proc without inode numbers
	want(t, step(t, a, r, false))
	p := f.add(20, 1, "cat", 900)
	p.number = 0
	want(t, step(t, a, r, false), "process.exit 20 tail", "process.execution 20 cat")
	delete(f.processes, 20)
	f.hidden[20] = true // gone when it is read
	want(t, step(t, a, r, false), "process.exit 20 cat")

	reads := f.reads
	step(t, a, r, false)
	if f.reads != reads+1 { // of the hidden one
		t.Errorf("a look at unchanged processes read %d of them", f.reads-reads)
	}
}

// TestDeniedProcessesAreNotReadAgain at each look.
func TestDeniedProcessesAreNotReadAgain(t *testing.T) {
	f, a, r := newFake(t, DefaultConfig().Monitoring)
	for pid := 1; pid <= 10; pid++ {
		f.add(pid, 0, "p", uint64(pid)).denied = true
	}
	want(t, step(t, a, r, false))
	reads := f.reads
	want(t, step(t, a, r, false))
	if f.reads != reads || a.table.lost != 0 {
		t.Errorf("%d read again, %d taken for lost", f.reads-reads, a.table.lost)
	}
	f.add(3, 0, "q", 300)
	want(t, step(t, a, r, false), "process.execution 3 q")
}

// TestMainThreadThatLeft: on a kernel that tells the main thread's status, a process
// it has left ended with nobody knows what.
func TestMainThreadThatLeft(t *testing.T) {
	for _, kernel := range []struct {
		whole bool
		want  int32
	}{{true, 9}, {false, 0}} {
		f, a, r := newFake(t, DefaultConfig().Monitoring)
		a.table.leader = kernel.whole
		p := f.add(5, 1, "server", 5)
		step(t, a, r, true)
		p.stat.thread, p.stat.threads, p.open = 6, 2, true // its source lets thread 6 speak
		step(t, a, r, true)
		readings := agenttest.OfType(r.Events(), event.TypeProcessSample)
		if u := readings[len(readings)-1].GetProcess().GetUsage(); u.GetState() != pb.ProcessState_PROCESS_STATE_SLEEPING || u.GetRssBytes() == 0 {
			t.Errorf("reading %v", u)
		}
		p.stat.thread, p.stat.threads, p.stat.state, p.stat.exit = 0, 1, 'Z', 9
		step(t, a, r, true)
		clear(f.processes)
		step(t, a, r, false)
		exit := agenttest.OfType(r.Events(), event.TypeProcessExit)[0].GetProcess()
		if exit.ExitCode != nil || exit.GetExitSignal() != kernel.want {
			t.Errorf("exit %v, want signal %d", exit, kernel.want)
		}
	}
}

// TestCPUBounds: what is told of CPU use is never made by the clock.
func TestCPUBounds(t *testing.T) {
	const hz = 100
	tests := []struct {
		name    string
		threads uint32
		span    time.Duration
		delay   time.Duration
		ticks   uint64
		want    float64 // -1: held back
	}{
		{"one busy thread", 1, time.Second, 0, 100, 100},
		{"half", 1, time.Second, 0, 50, 50},
		{"two ticks of before", 1, time.Second, 0, 102, 100},
		{"reader held up", 1, time.Second, 100 * time.Millisecond, 110, 100},
		{"near a tick", 1, time.Millisecond, 0, 1, -1},
		{"a few ticks", 1, 190 * time.Millisecond, 0, 19, -1},
		{"just long enough", 1, 200 * time.Millisecond, 0, 22, 100},
		{"three threads", 3, time.Second, 0, 301, 300},
		{"threads that came and went", 1, time.Second, 0, 180, 180},
		{"more than there are CPUs", 64, time.Second, 0, 700, 400},
		{"clock ran back", 1, -time.Second, 0, 10, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Now()
			p := &process{cpu: -1, stat: stat{threads: tt.threads}, base: reference{threads: tt.threads, at: now.Add(-tt.span)}}
			tab := &table{hz: hz, src: &fake{}}
			tab.measure(p, &stat{utime: tt.ticks / 2, stime: tt.ticks - tt.ticks/2, threads: tt.threads}, now, tt.delay)
			if math.Abs(p.cpu-tt.want) > 1e-6 {
				t.Errorf("%.3f %%, want %.3f", p.cpu, tt.want)
			}
			if held := p.base.at != now; held != (tt.want < 0) {
				t.Errorf("reference moved: %v", !held)
			}
		})
	}
}

// TestFirstReadingIsSinceTheStart, and of a process too young for one is held back.
func TestFirstReadingIsSinceTheStart(t *testing.T) {
	f, a, r := newFake(t, DefaultConfig().Monitoring)
	f.up = time.Hour
	p := f.add(1, 0, "busy", 359000) // 10 s ago
	p.stat.utime = 500
	f.add(2, 1, "young", 359995).stat.utime = 4 // 50 ms ago
	want(t, step(t, a, r, true), "process.sample 1 busy")
	if got := r.Events()[0].GetProcess().GetUsage().GetCpuPercent(); math.Abs(got-50) > 1 {
		t.Errorf("%.1f %%, want 50 since the start", got)
	}
}

// TestTimesFollowTheClock, and what a process is called does not.
func TestTimesFollowTheClock(t *testing.T) {
	cfg := DefaultConfig().Monitoring
	cfg.UnchangedEvery = 1
	f, a, r := newFake(t, cfg)
	f.up, f.wall = time.Hour, -3*time.Hour
	f.add(1, 0, "server", 180000) // half an hour after boot
	created := func() (time.Duration, string) {
		t.Helper()
		step(t, a, r, true)
		readings := agenttest.OfType(r.Events(), event.TypeProcessSample)
		p := readings[len(readings)-1].GetProcess().GetProcess()
		return time.Since(p.GetCreatedTime().AsTime()).Round(time.Minute), p.GetUid()
	}
	before, uid := created()
	f.wall = 0
	after, same := created()
	if before != 210*time.Minute || after != 30*time.Minute || uid != same {
		t.Errorf("created %s ago, and %s after the clock was set, uid %s and %s", before, after, uid, same)
	}
	f.wall = 300 * time.Millisecond // slewed
	first := a.table.boot
	step(t, a, r, true)
	if a.table.boot != first {
		t.Error("the start of a process moves with each correction of the clock")
	}
}

func TestHundredths(t *testing.T) {
	for x, want := range map[float64]float64{0: 0, 0.19978854452371486: 0.2, 0.004: 0, 12.345678: 12.35, 250: 250, 99.999: 100} {
		if got := hundredths(x); got != want {
			t.Errorf("%v: %v, want %v", x, got, want)
		}
	}
}
