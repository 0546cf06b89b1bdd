package standalone

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func testHome(t *testing.T) config.Home {
	t.Helper()
	home := config.Home(t.TempDir())
	if err := home.Ensure(); err != nil {
		t.Fatal(err)
	}
	return home
}

func TestStateFile(t *testing.T) {
	home := testHome(t)
	if s := readState(home); s.PID != 0 {
		t.Errorf("state of nothing: %+v", s)
	}
	want := runState{process: processOf("up", os.Getpid()), Phase: phaseReady, URL: "http://localhost:1", Started: time.Unix(1, 0).UTC(), Children: []process{{"hub", 2, 3}}}
	if err := want.write(home); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, readState(home), cmp.AllowUnexported(runState{})); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(statePath(home), []byte("{torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := readState(home); s.PID != 0 {
		t.Errorf("state of a torn file: %+v", s)
	}
	for range 2 {
		if err := removeState(home); err != nil {
			t.Error(err)
		}
	}
}

func TestRunning(t *testing.T) {
	self := processOf("self", os.Getpid())
	if !self.running() {
		t.Error("this process does not run")
	}
	if self.Start != 0 {
		self.Start++
		if self.running() {
			t.Error("another process with our pid was taken for the old one")
		}
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := processOf("child", cmd.Process.Pid)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if p.running() {
		t.Error("a process that has ended runs")
	}
	if (process{}).running() {
		t.Error("no process runs")
	}
}

func TestSecondUpSaysWhatRuns(t *testing.T) {
	home := testHome(t)
	unlock, err := lockHome(lockPath(home))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	tests := map[string]runState{
		"already being started":                            {},
		"(pid 7): open http://localhost:5001, or stop it":  {process: process{PID: 7}, Phase: phaseReady, URL: "http://localhost:5001"},
		"(pid 7): stop it with amoskys down --home ":       {process: process{PID: 7}, Phase: phaseReady},
		"is being stopped in " + string(home) + " (pid 7)": {process: process{PID: 7}, Phase: phaseStopping},
	}
	for want, s := range tests {
		if err := s.write(home); err != nil {
			t.Fatal(err)
		}
		if _, err := acquire(t.Context(), home); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestLockIsFreeAfterwards(t *testing.T) {
	home := testHome(t)
	for range 2 {
		unlock, err := acquire(t.Context(), home)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lockHome(lockPath(home)); !errors.Is(err, errLocked) {
			t.Errorf("locked twice: %v", err)
		}
		unlock()
	}
}

func TestDownWithNothingRunning(t *testing.T) {
	home := testHome(t)
	// What a killed up leaves behind is not taken for one that runs.
	if err := (runState{process: process{Name: "up", PID: os.Getpid(), Start: 1}}).write(home); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Down(t.Context(), &cli.Env{Home: home, Stdout: &out}, time.Second); err != nil {
		t.Fatal(err)
	}
	if want := "amoskys is not running in " + string(home) + "\n"; out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}

func TestMerge(t *testing.T) {
	m := &model{host: "h"}
	agent := func(id string, pid uint32) *pb.AgentStatus { return &pb.AgentStatus{Id: id, Host: "h", Pid: pid} }
	m.merge(&pb.WatchAgentsResponse{Snapshot: true, Agents: []*pb.AgentStatus{agent("b", 1), agent("a", 2), {Id: "b", Host: "another", Pid: 9}}})
	m.merge(&pb.WatchAgentsResponse{Agents: []*pb.AgentStatus{agent("b", 3), agent("c", 4), {Id: "c", Host: "another"}}, Removed: []string{"h/a"}})
	var got []string
	for _, a := range m.agents {
		got = append(got, a.GetId())
	}
	if diff := cmp.Diff([]string{"b", "c"}, got); diff != "" || m.agents[0].GetPid() != 3 {
		t.Errorf("agents %v, pid of b %d", got, m.agents[0].GetPid())
	}
	m.merge(&pb.WatchAgentsResponse{Snapshot: true})
	if len(m.agents) != 0 {
		t.Errorf("a new snapshot keeps %v", m.agents)
	}
}
