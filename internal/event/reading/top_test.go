package reading_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/event/reading"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// ranked feeds a Top and keeps who is in, as whoever has series for them would.
type ranked struct {
	t   *testing.T
	top *reading.Top
	r   reading.Reader
	in  map[string]bool
}

func (x *ranked) take(ev *pb.Event, at time.Duration) {
	x.t.Helper()
	ev.Time = timestamppb.New(epoch.Add(at))
	s, ok := x.r.Read(encode(x.t, ev), "")
	if !ok {
		x.t.Fatal("nothing is read")
	}
	in, left := x.top.Take(s)
	for _, p := range left {
		if !x.in[p.Subject] || p.Agent != "proc_agent" || p.Host != "h1" {
			x.t.Fatalf("%v leaves, and was not in", p)
		}
		delete(x.in, p.Subject)
	}
	switch {
	case in && s.Ended:
		delete(x.in, s.Subject)
	case in:
		x.in[strings.Clone(s.Subject)] = true
	case x.in[s.Subject]:
		x.t.Fatalf("%s is out, and nobody said so", s.Subject)
	}
}

func (x *ranked) list() string {
	var all []string
	for name := range x.in {
		all = append(all, strings.TrimPrefix(name, "uid"))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func newRanked(t *testing.T, o reading.TopOptions) *ranked {
	return &ranked{t: t, top: reading.NewTop(o), in: map[string]bool{}}
}

// TestTop: those with the most CPU and those with the most memory are in, in turn; who was
// in stays for a while.
func TestTop(t *testing.T) {
	x := newRanked(t, reading.TopOptions{Processes: 4})
	scan := func(at time.Duration, cpu func(pid uint32) float64) {
		for pid := uint32(10); pid < 30; pid++ {
			x.take(sample(pid, cpu(pid), uint64(100-pid)<<20), at)
		}
	}
	rising := func(pid uint32) float64 { return float64(pid) }
	scan(0, rising)
	if x.list() != "10 11 12 13" {
		t.Errorf("at first %s are in", x.list())
	}
	scan(15*time.Second, rising)
	if x.list() != "10 11 28 29" {
		t.Errorf("then %s are in", x.list())
	}
	// A little more than those who are in is not enough.
	scan(30*time.Second, func(pid uint32) float64 { return 30 + float64(pid%3) })
	if x.list() != "10 11 28 29" || x.top.Out() != 16 {
		t.Errorf("then %s are in, %d out", x.list(), x.top.Out())
	}
	// A process ends, and there is room.
	gone := sample(29, 0, 0)
	gone.Type = event.TypeProcessExit
	x.take(gone, 31*time.Second)
	x.take(sample(15, 1, 1), 31*time.Second)
	if x.list() != "10 11 15 28" {
		t.Errorf("then %s are in", x.list())
	}
	// Nobody tells of the others for long.
	for i := range 40 {
		x.take(sample(15, 1, 1), time.Hour+time.Duration(i)*time.Second)
	}
	if x.list() != "15" || x.top.Out() != 0 {
		t.Errorf("at last %s are in, %d out", x.list(), x.top.Out())
	}
	x.top.Forget("proc_agent", "h1")
	x.take(sample(99, 1, 1), 2*time.Hour)
	if !x.in["uid99"] {
		t.Error("an agent that was forgotten does not begin anew")
	}
}

// TestMonitored: what the agent is told to watch is in beside the others.
func TestMonitored(t *testing.T) {
	x := newRanked(t, reading.TopOptions{Processes: 2, Monitored: 3})
	for round := range 3 {
		for pid := uint32(10); pid < 20; pid++ {
			ev := sample(pid, float64(pid*pid), uint64(pid*pid*pid))
			if pid < 15 {
				ev.Labels = map[string]string{reading.LabelMonitored: "true"}
			}
			x.take(ev, time.Duration(round)*15*time.Second)
		}
	}
	if x.list() != "10 11 12 18 19" {
		t.Errorf("%s are in", x.list())
	}
}

// TestTopIsBounded: neither agents nor processes without end are remembered.
func TestTopIsBounded(t *testing.T) {
	top := reading.NewTop(reading.TopOptions{Processes: 2, Tracked: 5, Agents: 3})
	var r reading.Reader
	in := 0
	for agent := range 10 {
		for pid := range 10 {
			ev := sample(uint32(pid), 1, 1)
			ev.Agent.Id = fmt.Sprint("a", agent)
			s, _ := r.Read(encode(t, ev), "")
			if ok, _ := top.Take(s); ok {
				in++
			}
		}
	}
	if in != 6 || top.Out() != 9 {
		t.Errorf("%d in, %d out", in, top.Out())
	}
}

// TestAgentsOfOneHost: one host takes no room from others, whatever agents it speaks for, and
// who is gone is forgotten.
func TestAgentsOfOneHost(t *testing.T) {
	top := reading.NewTop(reading.TopOptions{Agents: 4, AgentsOfHost: 2})
	var r reading.Reader
	in := func(agent int, host string) bool {
		ev := sample(1, 1, 1)
		ev.Agent.Id, ev.Host.Name = fmt.Sprint("a", agent), host
		s, _ := r.Read(encode(t, ev), "")
		ok, _ := top.Take(s)
		return ok
	}
	for agent := range 10 {
		if got := in(agent, "mad"); got != (agent < 2) {
			t.Errorf("agent %d of one host: %v", agent, got)
		}
	}
	if !in(0, "good") || !in(1, "good") || in(0, "late") {
		t.Error("others have other room")
	}
	top.Sweep()
	in(0, "good")
	in(1, "good")
	top.Sweep()
	if !in(0, "late") || !in(5, "mad") || in(6, "mad") {
		t.Error("who is gone is remembered")
	}
}

func BenchmarkTop(b *testing.B) {
	top := reading.NewTop(reading.TopOptions{})
	encoded := make([][]byte, 200)
	for i := range encoded {
		encoded[i] = encode(b, sample(uint32(i), float64(i), uint64(i)))
	}
	var r reading.Reader
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		s, _ := r.Read(encoded[n%len(encoded)], "")
		s.Time = epoch.Add(time.Duration(n/len(encoded)) * 5 * time.Second)
		top.Take(s)
	}
}

// BenchmarkManyHosts has ten thousand hosts tell of two hundred processes each, which is as
// many as are remembered, and reports what all of that takes.
func BenchmarkManyHosts(b *testing.B) {
	const hosts, processes = 10_000, 200
	for b.Loop() {
		top := reading.NewTop(reading.TopOptions{})
		before := live()
		for h := range hosts {
			s := reading.Set{Source: reading.SourceProcess, Agent: "proc_agent", Host: fmt.Sprintf("host-%05d.example.org", h), Time: epoch}
			for p := range processes {
				s.Subject = fmt.Sprintf("%032x-%d-%d", h, p, 1_700_000_000+p)
				top.Take(&s)
			}
		}
		b.ReportMetric(float64(live()-before)/(1<<20), "MB")
		b.ReportMetric(float64(top.Out()), "left-out")
	}
}

// live is how many bytes are in use.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestProcessesOfAllAreBounded: whatever hosts tell, no more processes are remembered, and
// those that end or whose host is gone make room.
func TestProcessesOfAllAreBounded(t *testing.T) {
	t.Parallel()
	top := reading.NewTop(reading.TopOptions{Processes: 1, All: 10})
	take := func(host, subject string, ended bool) bool {
		s := reading.Set{Source: reading.SourceProcess, Agent: "a", Host: host, Subject: subject, Time: epoch, Ended: ended}
		in, _ := top.Take(&s)
		return in
	}
	for p := range 20 {
		take("mad", fmt.Sprint(p), false)
	}
	if take("good", "x", false) {
		t.Error("there is room for more than all")
	}
	take("mad", "3", true)
	if !take("good", "x", false) {
		t.Error("one that ended made no room")
	}
	top.Forget("a", "mad")
	if take("good", "y", false); top.Out() != 1 {
		t.Errorf("%d are out, where one of two is in", top.Out())
	}
}
