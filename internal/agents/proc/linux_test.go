//go:build linux

package proc

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	library "github.com/prometheus/procfs"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestConformance(t *testing.T) {
	agenttest.Suite{
		Definition: Definition(),
		Config:     "agent: {interval_seconds: 0.2}\nmonitoring: {scan_interval_seconds: 0.05}\n",
		Types:      []string{event.TypeProcessSample},
		Metrics: []string{
			"process_cpu_percent", "process_memory_bytes", "process_file_descriptors",
			"process_thread_count", "process_state",
		},
		Decoders: []agenttest.Decoder{
			{Name: "/proc/PID/stat", Seeds: []string{"42 (a) R (b))" + statTail}, Decode: func(b []byte) { parseStat(b, &stat{}) }},
			{Name: "/proc/PID/status", Seeds: []string{"Name:\tx\nUid:\t1000\t1000\t1000\t1000\nGid:\t5\t5\t5\t5\n"}, Decode: func(b []byte) { parseIDs(b) }},
			{Name: "/proc/PID/io", Seeds: []string{"rchar: 1\nwchar: 2\nread_bytes: 4096\nwrite_bytes: 8192\n"}, Decode: func(b []byte) { parseIO(b) }},
			{Name: "/proc/PID/cmdline", Seeds: []string{"python3\x00-m\x00http.server\x00", "postgres: writer process   "}, Decode: func(b []byte) { parseCommand(b, plain) }},
			{Name: "/proc/PID/cgroup", Seeds: []string{
				"0::/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope\n",
				"12:pids:/kubepods/pod1/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n0::/\n",
			}, Decode: func(b []byte) { parseCgroup(b) }},
			{Name: "/proc/PID/mountinfo", Seeds: []string{"22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw,hidepid=invisible,gid=4\n"}, Decode: func(b []byte) {
				readOptions(procOptions(b, "/proc"))
			}},
			{Name: "/sys/devices/system/cpu/online", Seeds: []string{"0-3,8\n"}, Decode: func(b []byte) { countList(b) }},
			{Name: "getdents64(2)", Seeds: []string{
				"\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x18\x00\x0442\x00\x00\x00",
			}, Decode: func(b []byte) { appendEntries(nil, b) }},
			{Name: "passwd(5)", Seeds: []string{"root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/sh\n"}, Decode: func(b []byte) {
				file := filepath.Join(t.TempDir(), "passwd")
				if err := os.WriteFile(file, b, 0o600); err != nil {
					t.Error(err)
				}
				n := names{file: file}
				n.name("0")
			}},
		},
	}.Run(t)
}

// startAgent runs an agent on the real /proc until the test ends.
func startAgent(t *testing.T, cfg Config) *agenttest.Recorder {
	t.Helper()
	recorder := agenttest.NewRecorder()
	cfg.Monitoring.ScanIntervalSeconds = 0.05
	a, err := New(cfg, agent.Options{
		Registerer: prometheus.NewRegistry(), Publisher: recorder, Condition: func(string, error) {},
		Interval: 200 * time.Millisecond, Logger: obs.Discard(), HostID: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	recorder.Wait(t, 10*time.Second, "the first readings", func(events []*pb.Event) bool { return len(events) > 0 })
	return recorder
}

// ofPID are the events of one type and process.
func ofPID(events []*pb.Event, typ string, pid int) []*pb.Event {
	var out []*pb.Event
	for _, ev := range agenttest.OfType(events, typ) {
		if ev.GetProcess().GetProcess().GetPid() == uint32(pid) {
			out = append(out, ev)
		}
	}
	return out
}

// child starts a program that runs until its input is closed.
func child(t *testing.T, argv ...string) (cmd *exec.Cmd, end func()) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir = t.TempDir()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, func() {
		_ = in.Close()
		_ = cmd.Wait()
	}
}

func TestRealProcess(t *testing.T) {
	recorder := startAgent(t, DefaultConfig())
	cmd, end := child(t, "cat", "-", "/dev/null")
	pid := cmd.Process.Pid
	events := recorder.Wait(t, 10*time.Second, "start and reading", func(events []*pb.Event) bool {
		starts := ofPID(events, event.TypeProcessExecution, pid)
		return len(starts) > 0 && starts[len(starts)-1].GetProcess().GetProcess().GetName() == "cat" &&
			len(ofPID(events, event.TypeProcessSample, pid)) > 0
	})
	starts := ofPID(events, event.TypeProcessExecution, pid)
	p := starts[len(starts)-1].GetProcess()
	if got := p.GetProcess(); got.GetCmdLine() != "cat - /dev/null" || len(got.GetArgs()) != 3 || got.GetWorkingDirectory() != cmd.Dir ||
		got.GetPpid() != uint32(os.Getpid()) || got.GetUser().GetUid() != strconv.Itoa(os.Getuid()) || got.GetUser().GetName() == "" ||
		!strings.HasSuffix(got.GetExecutable(), "/cat") && !strings.HasSuffix(got.GetExecutable(), "/coreutils") {
		t.Errorf("process %v", got)
	}
	if p.GetParent().GetPid() != uint32(os.Getpid()) || p.GetParent().GetUid() == "" {
		t.Errorf("parent %v", p.GetParent())
	}
	if age := time.Since(p.GetProcess().GetCreatedTime().AsTime()); age < 0 || age > 10*time.Second {
		t.Errorf("created %v ago", age)
	}
	end()
	recorder.Wait(t, 10*time.Second, "the end", func(events []*pb.Event) bool {
		return len(ofPID(events, event.TypeProcessExit, pid)) == 1
	})
	if faults := recorder.Faults(); len(faults) > 0 {
		t.Errorf("faults %v", faults)
	}
}

// TestAgainstPS compares with what ps says of a process that computes.
func TestAgainstPS(t *testing.T) {
	ps, err := exec.LookPath("ps")
	if err != nil {
		t.Skip("ps is not installed")
	}
	recorder := startAgent(t, DefaultConfig())
	cmd, end := child(t, "sh", "-c", "while :; do :; done & p=$!; read x; kill $p")
	defer end()
	var busy int
	recorder.Wait(t, 20*time.Second, "a reading of the loop", func(events []*pb.Event) bool {
		for _, ev := range agenttest.OfType(events, event.TypeProcessSample) {
			p := ev.GetProcess()
			if p.GetProcess().GetPpid() == uint32(cmd.Process.Pid) && p.GetUsage().GetCpuPercent() > 5 {
				busy = int(p.GetProcess().GetPid())
				return true
			}
		}
		return false
	})
	out, err := exec.CommandContext(t.Context(), ps, "-o", "rss=,vsz=,nlwp=,ppid=,uid=,comm=", "-p", strconv.Itoa(busy)).Output()
	if err != nil {
		t.Fatalf("ps: %v", err)
	}
	var rss, vsz uint64
	var threads, ppid, uid uint32
	var name string
	if _, err := fmt.Sscan(string(out), &rss, &vsz, &threads, &ppid, &uid, &name); err != nil {
		t.Fatalf("ps says %q: %v", out, err)
	}
	readings := ofPID(recorder.Events(), event.TypeProcessSample, busy)
	p := readings[len(readings)-1].GetProcess()
	u := p.GetUsage()
	if math.Abs(float64(u.GetRssBytes())-float64(rss<<10)) > 1<<20 || u.GetVszBytes() != vsz<<10 || u.GetThreads() != threads ||
		p.GetProcess().GetPpid() != ppid || p.GetProcess().GetUser().GetUid() != strconv.Itoa(int(uid)) || p.GetProcess().GetName() != name {
		t.Errorf("ps says %q, the reading %v of %v", strings.TrimSpace(string(out)), u, p.GetProcess())
	}
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", busy))
	if err != nil {
		t.Fatal(err)
	}
	if int(u.GetFileDescriptors()) != len(entries) {
		t.Errorf("%d descriptors, /proc has %d", u.GetFileDescriptors(), len(entries))
	}
	if cpu := u.GetCpuPercent(); cpu > 110 {
		t.Errorf("one busy thread uses %.0f%%", cpu)
	}
}

// TestSecretsStay on this host: no event of a process or of its children has them.
func TestSecretsStay(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Mask.Patterns = []string{"ACME-[0-9]+"}
	recorder := startAgent(t, cfg)
	secret := "amk1_" + strings.Repeat("Qz9", 35)
	cmd, end := child(t, "sh", "-c", "sleep 1000 & read x; kill $!", "sh", "--token", secret, "--password=Qz9", "mysql", "-pQz9", "https://u:Qz9@h/", "ACME-123")
	pid := uint32(cmd.Process.Pid)
	recorder.Wait(t, 10*time.Second, "readings of it and its child", func(events []*pb.Event) bool {
		var own, childs bool
		for _, ev := range events {
			p := ev.GetProcess()
			own = own || p.GetProcess().GetPid() == pid && ev.GetType() == event.TypeProcessSample && strings.Contains(p.GetProcess().GetCmdLine(), "--token ***")
			childs = childs || p.GetProcess().GetPpid() == pid && ev.GetType() == event.TypeProcessExecution
		}
		return own && childs
	})
	end()
	events := recorder.Wait(t, 10*time.Second, "the end", func(events []*pb.Event) bool {
		return len(ofPID(events, event.TypeProcessExit, int(pid))) == 1
	})
	for _, ev := range events {
		p := ev.GetProcess()
		if id := p.GetProcess().GetPid(); id != pid && p.GetProcess().GetPpid() != pid {
			continue // the test binary's own command line is of no interest
		}
		if text := ev.String(); strings.Contains(text, "Qz9") || strings.Contains(text, "ACME-1") {
			t.Errorf("%s of %s: %s", ev.GetType(), p.GetProcess().GetName(), p.GetProcess().GetCmdLine())
		}
	}
}

// TestHiddenDescriptors: what may not be read is absent, not 0.
func TestHiddenDescriptors(t *testing.T) {
	p, err := newProcfs(plain)
	if err != nil {
		t.Fatal(err)
	}
	if n := p.descriptors(os.Getpid(), 0); n == nil || *n == 0 {
		t.Errorf("own descriptors %v", n)
	}
	if n := p.descriptors(1<<30, 0); n != nil {
		t.Errorf("descriptors of no process: %d", *n)
	}
	// Since Linux 6.2 everyone may see how many there are, though not which.
	if os.Getuid() != 0 && !p.sizedFD {
		if n := p.descriptors(1, 0); n != nil {
			t.Errorf("descriptors of another user's process: %d", *n)
		}
	}
}

func TestWeirdNames(t *testing.T) {
	dir := t.TempDir()
	program := dir + "/we) (ird\n\xff"
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Skip("cat is not installed")
	}
	content, err := os.ReadFile(cat)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, content, 0o700); err != nil {
		t.Fatal(err)
	}
	recorder := startAgent(t, DefaultConfig())
	cmd, end := child(t, program)
	defer end()
	recorder.Wait(t, 10*time.Second, "the process", func(events []*pb.Event) bool {
		for _, ev := range ofPID(events, event.TypeProcessExecution, cmd.Process.Pid) {
			if ev.GetProcess().GetProcess().GetName() == "we) (ird\uFFFD\uFFFD" {
				return true
			}
		}
		return false
	})
	if faults := recorder.Faults(); len(faults) > 0 {
		t.Errorf("faults %v", faults)
	}
}

// BenchmarkReading compares one full reading of all processes with the same done
// by a general library.
func BenchmarkReading(b *testing.B) {
	b.Run("ours", func(b *testing.B) {
		src, err := newProcfs(plain)
		if err != nil {
			b.Fatal(err)
		}
		t := &table{
			src: src, hz: float64(src.hz), page: src.page,
			watch: func(*process) bool { return true }, byPID: map[int]*process{},
		}
		var c change
		b.ReportAllocs()
		for b.Loop() {
			if err := t.scan(&c); err != nil {
				b.Fatal(err)
			}
			t.refresh(&c)
			for _, p := range t.byPID {
				if p.moved {
					src.descriptors(p.pid, 0)
					src.io(p.pid)
				}
			}
		}
		b.ReportMetric(float64(len(t.byPID)), "processes")
	})
	b.Run("procfs", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			n = naive(b)
		}
		b.ReportMetric(float64(n), "processes")
	})
}

func naive(b *testing.B) int {
	b.Helper()
	fs, err := library.NewFS("/proc")
	if err != nil {
		b.Fatal(err)
	}
	all, err := fs.AllProcs()
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range all {
		if _, err := p.Stat(); err != nil {
			continue
		}
		_, _ = p.CmdLine()
		_, _ = p.Executable()
		_, _ = p.Cwd()
		_, _ = p.NewStatus()
		_, _ = p.Cgroups()
		_, _ = p.FileDescriptorsLen()
		_, _ = p.IO()
	}
	return len(all)
}
