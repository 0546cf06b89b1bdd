package fleet_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/hub/fleet"
	"github.com/amoskys/amoskys/internal/hub/own"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// hand is a clock that tests turn.
type hand struct {
	mu  sync.Mutex
	now time.Time
}

func newHand() *hand { return &hand{now: time.Now()} }

func (h *hand) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hand) turn(by time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(by)
}

// sentry is a service whose clock and findings a test sees.
type sentry struct {
	*fixture
	clock *hand
	found chan own.Finding
}

func newSentry(t *testing.T, db *state.DB, clock *hand) *sentry {
	w := &sentry{clock: clock, found: make(chan own.Finding, 64)}
	w.fixture = newFixture(t, db, func(o *fleet.Options) {
		o.Now, o.SilentAfter = clock.Now, 5*time.Minute
		o.Find = func(_ context.Context, f own.Finding) error { w.found <- f; return nil }
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.service.RunFindings(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// hosts says of each host its colour, whether it is connected, how long ago it was
// seen, and how many agents it has.
func (w *sentry) hosts(t *testing.T) string {
	t.Helper()
	w.service.Look()
	got, err := w.client.ListAgents(t.Context(), &pb.ListAgentsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, n := range got.GetNodes() {
		out = append(out, fmt.Sprintf("%s %s %v %s %d", n.GetHost(), strings.TrimPrefix(n.GetHealth().String(), "AGENT_HEALTH_LEVEL_"),
			n.GetConnected(), w.clock.Now().Sub(n.GetLastSeenTime().AsTime()).Round(time.Second), n.GetAgents()))
	}
	return strings.Join(out, "\n")
}

// finding waits for the next finding.
func (w *sentry) finding(t *testing.T) string {
	t.Helper()
	select {
	case f := <-w.found:
		return fmt.Sprintf("%s %s %v", f.Name, f.Host, f.Resolved)
	case <-time.After(10 * time.Second):
		t.Fatal("no finding in ten seconds")
		return ""
	}
}

// gathered are the values of a collector's one metric by its one label.
func gathered(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			values[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
		}
	}
	return values
}

// TestSilentHostIsAnAlarm: a node that has gone is grey, amber, red, and a finding,
// until it is back.
func TestSilentHostIsAnAlarm(t *testing.T) {
	w := newSentry(t, openState(t), newHand())
	n := w.node(t, "web-1", "web-1", running("a"), running("b"))
	w.node(t, "bare", "bare")
	now := func() string { return w.hosts(t) }
	eventually(t, "bare GREEN true 0s 0\nweb-1 GREEN true 0s 2", now)
	w.clock.turn(time.Hour)
	eventually(t, "bare GREEN true 0s 0\nweb-1 GREEN true 0s 2", now)
	n.cancel()
	eventually(t, "bare GREEN true 0s 0\nweb-1 UNSPECIFIED false 0s 2", now)
	for _, step := range []struct {
		after time.Duration
		want  string
	}{
		{11 * time.Second, "UNSPECIFIED false 11s"},
		{time.Second, "YELLOW false 12s"},
		{287 * time.Second, "YELLOW false 4m59s"},
		{time.Second, "RED false 5m0s"},
		{time.Hour, "RED false 1h5m0s"},
	} {
		w.clock.turn(step.after)
		eventually(t, "bare GREEN true 0s 0\nweb-1 "+step.want+" 2", now)
	}
	if got := w.finding(t); got != "silent_host web-1 false" {
		t.Errorf("found %s", got)
	}
	if diff := cmp.Diff(map[string]float64{"connected": 1, "reconnecting": 0, "away": 0, "silent": 1}, gathered(t, w.service.Metrics())); diff != "" {
		t.Errorf("amoskys_nodes (-want +got):\n%s", diff)
	}
	w.node(t, "web-1", "web-1", running("a"))
	eventually(t, "bare GREEN true 0s 0\nweb-1 GREEN true 0s 1", now)
	if got := w.finding(t); got != "silent_host web-1 true" {
		t.Errorf("found %s", got)
	}
	if len(w.found) != 0 {
		t.Errorf("found also %v", <-w.found)
	}
}

// TestHubRestartForgetsNoHost and raises no alarm while they come back.
func TestHubRestartForgetsNoHost(t *testing.T) {
	db, clock := openState(t), newHand()
	before := newSentry(t, db, clock)
	before.node(t, "stays", "stays", running("a"))
	before.node(t, "bare", "bare")
	gone := before.node(t, "gone", "gone", running("a"))
	eventually(t, "bare GREEN true 0s 0\ngone GREEN true 0s 1\nstays GREEN true 0s 1", func() string { return before.hosts(t) })
	gone.cancel()
	eventually(t, "bare GREEN true 0s 0\ngone UNSPECIFIED false 0s 1\nstays GREEN true 0s 1", func() string { return before.hosts(t) })
	clock.turn(6 * time.Minute)
	before.service.Look()
	if got := before.finding(t); got != "silent_host gone false" {
		t.Errorf("found %s", got)
	}
	// The hub is killed: no stream has ended by then.
	if err := before.service.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock.turn(10 * time.Minute)
	after := newSentry(t, db, clock)
	now := func() string { return after.hosts(t) }
	for _, step := range []struct {
		after time.Duration
		want  string
	}{
		{0, "bare UNSPECIFIED false 10m0s 0\ngone RED false 16m0s 1\nstays UNSPECIFIED false 10m0s 1"},
		{41 * time.Second, "bare UNSPECIFIED false 10m41s 0\ngone RED false 16m41s 1\nstays UNSPECIFIED false 10m41s 1"},
		{time.Second, "bare YELLOW false 10m42s 0\ngone RED false 16m42s 1\nstays YELLOW false 10m42s 1"},
	} {
		clock.turn(step.after)
		eventually(t, step.want, now)
	}
	after.node(t, "stays", "stays", running("a"))
	eventually(t, "bare YELLOW false 10m42s 0\ngone RED false 16m42s 1\nstays GREEN true 0s 1", now)
	clock.turn(5 * time.Minute)
	eventually(t, "bare RED false 15m42s 0\ngone RED false 21m42s 1\nstays GREEN true 0s 1", now)
	if got := after.finding(t); got != "silent_host bare false" {
		t.Errorf("found %s", got)
	}
}

// TestForgetHost: what is gone for good can be taken off, what is there cannot.
func TestForgetHost(t *testing.T) {
	db, clock := openState(t), newHand()
	w := newSentry(t, db, clock)
	n := w.node(t, "web-1", "web-1", running("a"), running("b"))
	w.node(t, "web-2", "web-2", running("a"))
	eventually(t, "web-1 GREEN true 0s 2\nweb-2 GREEN true 0s 1", func() string { return w.hosts(t) })
	watch, err := w.client.WatchAgents(t.Context(), &pb.WatchAgentsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := watch.Recv()
	if err != nil || len(first.GetNodes()) != 2 || len(first.GetAgents()) != 3 {
		t.Fatalf("first: %v, %v", first, err)
	}
	forget := func(host string) (string, codes.Code) {
		got, err := w.client.ForgetHost(t.Context(), &pb.ForgetHostRequest{Host: host, Actor: "jane"})
		return fmt.Sprint(got.GetAgents(), " ", w.trail.last()), status.Code(err)
	}
	for host, want := range map[string]codes.Code{"web-1": codes.FailedPrecondition, "web-9": codes.NotFound, "": codes.InvalidArgument} {
		if _, got := forget(host); got != want {
			t.Errorf("forget %q: %v, want %v", host, got, want)
		}
	}
	byHand := w.service.Unsupervised("lonely", "x", nil)
	if _, got := forget("lonely"); got != codes.FailedPrecondition {
		t.Errorf("forget a host of an agent run by hand: %v", got)
	}
	byHand()
	n.cancel()
	eventually(t, "web-1 UNSPECIFIED false 0s 2\nweb-2 GREEN true 0s 1", func() string { return w.hosts(t) })
	if said, code := forget("WEB-1."); said != "2 jane host.forget web-1 true" || code != codes.OK {
		t.Errorf("forgotten: %s, %v", said, code)
	}
	if got := w.hosts(t) + "\n" + w.list(t); got != "web-2 GREEN true 0s 1\nweb-2/a@web-2 RUNNING GREEN true" {
		t.Errorf("left: %s", got)
	}
	removed, nodes := map[string]bool{}, []string{}
	for len(removed) < 2 || len(nodes) == 0 {
		got, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range got.GetRemoved() {
			if strings.HasPrefix(a, "web-1/") {
				removed[a] = true
			}
		}
		nodes = append(nodes, got.GetRemovedNodes()...)
	}
	if err := w.service.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if hosts, err := db.Hosts(t.Context()); err != nil || len(hosts) != 1 || hosts[0].Name != "web-2" {
		t.Errorf("stored %v, %v", hosts, err)
	}
	w.node(t, "web-1", "web-1")
	eventually(t, "web-1 GREEN true 0s 0\nweb-2 GREEN true 0s 1", func() string { return w.hosts(t) })
}

// TestWatchTellsColours: who watches hears when a host gets another colour, and
// nothing while none does.
func TestWatchTellsColours(t *testing.T) {
	w := newSentry(t, openState(t), newHand())
	n := w.node(t, "web-1", "web-1")
	eventually(t, "web-1 GREEN true 0s 0", func() string { return w.hosts(t) })
	watch, err := w.client.WatchAgents(t.Context(), &pb.WatchAgentsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	next := func() string {
		got, err := watch.Recv()
		if err != nil || len(got.GetNodes()) != 1 {
			t.Fatalf("%v, %v", got, err)
		}
		return got.GetNodes()[0].GetHealth().String()
	}
	if got := next(); got != "AGENT_HEALTH_LEVEL_GREEN" {
		t.Errorf("first %s", got)
	}
	n.cancel()
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{0, "UNSPECIFIED"}, {time.Minute, "YELLOW"}, {time.Hour, "RED"}} {
		w.clock.turn(step.after)
		w.service.Look()
		if got := next(); got != "AGENT_HEALTH_LEVEL_"+step.want {
			t.Errorf("after %s: %s, want %s", step.after, got, step.want)
		}
	}
}

// TestSilentHostsAreToldInTheEnd: more at a time than can wait are told later, none
// is left out.
func TestSilentHostsAreToldInTheEnd(t *testing.T) {
	db, clock := openState(t), newHand()
	var known []state.Host
	for i := range 700 {
		known = append(known, state.Host{Name: fmt.Sprintf("h%d", i), Node: "n", LastSeen: clock.Now().Add(-time.Minute)})
	}
	if err := db.PutHosts(t.Context(), known); err != nil {
		t.Fatal(err)
	}
	w := newSentry(t, db, clock)
	clock.turn(time.Hour)
	told := map[string]bool{}
	for len(told) < len(known) {
		w.service.Look()
		told[strings.Fields(w.finding(t))[1]] = true
	}
}
