package rules

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/vfs"
)

const high = `groups:
- name: g
  rules:
  - alert: High
    expr: x > 10
    for: 1m
    labels: {severity: high, team: net}
    annotations:
      summary: x of {{ $labels.host }} is {{ $value }}
      description: It is too high.
      runbook_url: https://example.org/x
      techniques: T1499, T1498
      false_positives: a test; a load, as on Mondays
  - record: x:double
    expr: x * 2
`

// TestAlertIsToldOnce: when it begins and when it ends, each time.
func TestAlertIsToldOnce(t *testing.T) {
	w := newWorld(t)
	w.file("a.yml", high)
	s := w.start(filepath.Join(t.TempDir(), "told"))
	var got []string
	for _, x := range []float64{1, 20, 20, 20, 21, 22, 3, 3, 20, 20, 3, 20, 20, 20, 20} {
		got = append(got, s.step(x, "host", "h1", "ip", "10.0.0.9"))
	}
	want := []string{"", "", "", "new a", "", "", "resolved a", "", "", "", "", "", "", "new b", ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	ev := w.told[0]
	f := ev.GetFinding()
	if ev.GetType() != event.TypeMetricAlert || ev.GetSeverity() != pb.Severity_SEVERITY_HIGH || ev.GetHost().GetName() != "db-1" || ev.GetAgent().GetId() != "store" {
		t.Errorf("%v", ev)
	}
	if f.GetTitle() != "x of h1 is 20" || f.GetRuleId() != "metric.High" || !strings.Contains(f.GetDescription(), "It is too high. So it is since 2030-01-01T00:01:00Z; the value is 20. What to do: https://example.org/x") {
		t.Errorf("%v", f)
	}
	if diff := cmp.Diff(map[string]string{"host.name": "h1", "device.ip": "10.0.0.9", "label.team": "net", "value": "20"}, f.GetObservables()); diff != "" {
		t.Error(diff)
	}
	if !slices.Equal(f.GetTechniques(), []string{"T1499", "T1498"}) || !slices.Equal(f.GetFalsePositives(), []string{"a test", "a load, as on Mondays"}) {
		t.Errorf("%v", f)
	}
	envelope, err := event.Inspect(mustEncode(t, ev))
	if err != nil {
		t.Fatal(err)
	}
	if err := envelope.CheckType(event.MakerStore); err != nil {
		t.Error(err)
	}
	if found, err := s.evaluator.Evaluate(t.Context(), "x:double", w.clock()); err != nil || len(found) != 1 || found[0].F != 40 {
		t.Errorf("recorded: %v %v", found, err)
	}
}

func mustEncode(t *testing.T, ev *pb.Event) []byte {
	t.Helper()
	b, err := event.Encode(ev)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRestart: what was told is not told again, `for` goes on, and what ended meanwhile is
// told.
func TestRestart(t *testing.T) {
	w := newWorld(t)
	w.file("a.yml", strings.Replace(high, "for: 1m", "for: 30m", 1))
	state := filepath.Join(t.TempDir(), "told")
	s := w.start(state)
	for i := range 30 { // pending since 00:01
		if told := s.step(20); told != "" {
			t.Fatal(i, told)
		}
	}
	s = w.start(state)
	told := 0
	for i := range 40 { // it would be 60 without what was
		switch s.step(20) {
		case "new a":
			told = i
		case "":
		default:
			t.Fatal("told otherwise")
		}
	}
	if told < 28 || told > 34 {
		t.Fatal("the state of for was not restored: told at step", told)
	}
	s = w.start(state)
	for i := range 6 {
		if told := s.step(20); told != "" {
			t.Fatal(i, told)
		}
	}
	s = w.start(state)
	var got []string
	for range 4 {
		got = append(got, s.step(1))
	}
	if diff := cmp.Diff([]string{"", "", "resolved a", ""}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFindingsWait: while nobody takes them, over a restart too.
func TestFindingsWait(t *testing.T) {
	w := newWorld(t)
	w.file("a.yml", strings.Replace(high, "for: 1m", "for: 0s", 1))
	state := filepath.Join(t.TempDir(), "told")
	s := w.start(state)
	w.refuse = errors.New("the hub is away")
	if told := s.step(20) + s.step(20) + s.step(1); told != "" {
		t.Fatal(told)
	}
	w.refuse = nil
	s = w.start(state)
	if told := s.step(1); told != "new a, resolved a" {
		t.Error(told)
	}
	s = w.start(state)
	if told := s.step(1); told != "" {
		t.Error(told)
	}
}

// TestRoom: what is told is bounded in bytes, too, and the end of an alert whose rule went
// while there was no room is told once there is.
func TestRoom(t *testing.T) {
	w := newWorld(t)
	w.file("a.yml", strings.Replace(high, "for: 1m", "for: 0s", 1))
	state := filepath.Join(t.TempDir(), "told")
	s := w.start(state)
	s.told.alertBytes = maxToldBytes
	if told := s.step(20); told != "" || s.told.Alerts == nil {
		t.Error(told)
	}
	s.told.alertBytes = 0
	if told := s.step(20); told != "new a" || s.told.alertBytes == 0 || s.told.waitingBytes != 0 {
		t.Error(told, s.told.alertBytes, s.told.waitingBytes)
	}
	read, err := readTold(s.o.FS, state)
	if err != nil || read.alertBytes != s.told.alertBytes {
		t.Errorf("%d bytes are read, %d known: %v", read.alertBytes, s.told.alertBytes, err)
	}
	s.manager.Store(s.newManager(t.Context()))
	s.told.waitingBytes = maxWaitingBytes
	if status, reason := s.Status(); status != degraded {
		t.Error(status, reason)
	}
	if err := os.Remove(filepath.Join(w.dir, "a.yml")); err != nil {
		t.Fatal(err)
	}
	s.reload(t.Context())
	if len(s.told.Alerts) != 1 {
		t.Fatal("it was told without room")
	}
	s.told.waitingBytes = 0
	s.reload(t.Context())
	if len(s.told.Alerts) != 0 || len(s.told.Waiting) != 1 || s.told.alertBytes != 0 {
		t.Errorf("%d alerts, %d wait", len(s.told.Alerts), len(s.told.Waiting))
	}
}

// TestDamagedState: what fires is told again, and nothing else happens.
func TestDamagedState(t *testing.T) {
	w := newWorld(t)
	w.file("a.yml", strings.Replace(high, "for: 1m", "for: 0s", 1))
	state := filepath.Join(t.TempDir(), "told")
	if told := w.start(state).step(20); told != "new a" {
		t.Fatal(told)
	}
	if err := os.WriteFile(state, []byte("00000000\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if told := w.start(state).step(20); told != "new b" {
		t.Error(told)
	}
}

// TestClockOff: nothing is evaluated while the clock of the system is not the one that is
// believed, and the status says so.
func TestClockOff(t *testing.T) {
	w := newWorld(t)
	w.file("a.yml", strings.Replace(high, "for: 1m", "for: 0s", 1))
	s := w.start(filepath.Join(t.TempDir(), "told"))
	w.write(20, "__name__", "x")
	s.o.system = func() time.Time { return w.clock().Add(3 * time.Hour) }
	s.evaluate(t.Context(), s.groups[0], w.clock().Add(3*time.Hour))
	if state, reason := s.Status(); state != degraded || !strings.Contains(reason, "3h0m0s off") || len(s.told.Waiting) > 0 {
		t.Error(state, reason)
	}
	s.o.system = w.clock
	s.evaluate(t.Context(), s.groups[0], w.clock())
	if state, _ := s.Status(); state != "ok" || len(s.told.Waiting) != 1 {
		t.Error(state)
	}
}

// TestSlowGroup: a group that is slower than its interval is evaluated for times that have
// passed, which is not taken for a clock that is off.
func TestSlowGroup(t *testing.T) {
	w := newWorld(t)
	w.file("a.yml", strings.Replace(high, "for: 1m", "for: 0s", 1))
	s := w.start(filepath.Join(t.TempDir(), "told"))
	w.write(20, "__name__", "x")
	at := w.clock()
	w.mu.Lock()
	w.now = w.now.Add(10 * time.Minute)
	w.mu.Unlock()
	s.evaluate(t.Context(), s.groups[0], at)
	if state, reason := s.Status(); state != "ok" || len(s.told.Waiting) != 1 {
		t.Error(state, reason)
	}
}

// TestManyFindings: what many findings that go at once cost of the disk is not the state for
// each of them; those that cannot go are kept.
func TestManyFindings(t *testing.T) {
	w := newWorld(t)
	w.file("a.yml", strings.Replace(high, "for: 1m", "for: 0s", 1))
	s := w.start(filepath.Join(t.TempDir(), "told"))
	fs := &counting{FS: s.o.FS}
	s.o.FS = fs
	const many = 250
	for i := range many {
		w.write(20, "__name__", "x", "n", strconv.Itoa(i))
	}
	if told := s.step(20); strings.Count(told, "new") != many+1 {
		t.Errorf("%.100s", told)
	}
	if fs.written > 5 {
		t.Errorf("the state was written %d times", fs.written)
	}
	if read, err := readTold(s.o.FS, s.o.StateFile); err != nil || len(read.Waiting) > 0 || len(read.Alerts) != many+1 {
		t.Errorf("%d wait, %d are told, %v", len(read.Waiting), len(read.Alerts), err)
	}
}

// counting counts files that are written.
type counting struct {
	vfs.FS

	written int
}

// Create implements vfs.FS.
func (c *counting) Create(name string) (vfs.File, error) {
	c.written++
	return c.FS.Create(name)
}

// TestCosts: a rule that costs too much fails by itself, and what was told stays.
func TestCosts(t *testing.T) {
	w := newWorld(t)
	w.file("a.yml", `groups:
- name: g
  limit: 2
  rules:
  - alert: Many
    expr: x > 10
  - alert: Wide
    expr: count_over_time(x[100y:1ms]) > 0
  - alert: Two
    expr: x > 10 and on () x{n="1"}
`)
	s := w.start(filepath.Join(t.TempDir(), "told"))
	for _, n := range []string{"1", "2", "3"} {
		w.write(20, "__name__", "x", "n", n, "first", "yes")
	}
	if told := s.step(20, "n", "1"); told != "" {
		t.Error(told)
	}
	for _, r := range s.groups[0].Rules() {
		if r.LastError() == nil {
			t.Errorf("%s did not fail", r.Name())
		}
	}
	if !strings.Contains(s.groups[0].Rules()[1].LastError().Error(), "steps") {
		t.Error(s.groups[0].Rules()[1].LastError())
	}
}

// TestRun: files that come, go and are wrong while it runs.
func TestRun(t *testing.T) {
	w := newWorld(t)
	w.now = time.Now()
	o := w.options()
	o.StateFile, o.Interval, o.lookEvery = filepath.Join(t.TempDir(), "told"), 20*time.Millisecond, 5*time.Millisecond
	o.Now, o.system = time.Now, time.Now
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	told := func(want string) {
		t.Helper()
		until(t, want, func() bool { return w.since(0) == want })
	}
	w.file("a.yml", "groups: [{name: g, rules: [{alert: One, expr: vector(1)}]}]\n")
	told("new a")
	w.file("b.yml", "groups: [{name: g, rules: [{alert: Two, expr: vector(1)}]}]\n")
	told("new a, new b")
	w.file("a.yml", "groups:\n- name: g\n  rules:\n  - alert: One\n    expr: vector(1\n")
	until(t, "the fault is known", func() bool { return len(r.Faults()) == 1 })
	if f := r.Faults()[0]; f.File != "a.yml" || f.Line != 5 || !strings.Contains(f.Reason, "could not parse expression") {
		t.Errorf("%+v", f)
	}
	if state, reason := r.Status(); state != "ok" || !strings.HasPrefix(reason, "rules: a.yml:5: ") {
		t.Error(state, reason)
	}
	if groups := r.Groups(); len(groups) != 2 || groups[0].Rules[0].Name != "One" || len(groups[1].Rules[0].Alerts) != 1 {
		t.Errorf("what ran before does not go on: %+v", groups)
	}
	if err := os.Remove(filepath.Join(w.dir, "b.yml")); err != nil {
		t.Fatal(err)
	}
	told("new a, new b, resolved b")
	w.file("a.yml", "groups: [{name: g, rules: [{alert: One, expr: vector(1) > 2}]}]\n")
	told("new a, new b, resolved b, resolved a")
	if len(r.Faults()) > 0 {
		t.Error(r.Faults())
	}
}
