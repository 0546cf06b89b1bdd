package rules

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	prom "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/metrics"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

// world is a database, a folder of rules and who is told, at a time that the test moves.
type world struct {
	t   *testing.T
	db  *metrics.DB
	dir string

	mu     sync.Mutex // guards what follows
	now    time.Time
	told   []*pb.Event
	refuse error // of Tell
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	db, err := metrics.New(metrics.Options{Path: filepath.Join(t.TempDir(), "metrics"), Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	w.db = db
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- db.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	until(t, "the database is open", db.CaughtUp)
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) tell(_ context.Context, encoded []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return w.refuse
	}
	ev, err := event.Decode(encoded)
	w.told = append(w.told, ev)
	return err
}

// file writes a file of rules.
func (w *world) file(name, text string) {
	w.t.Helper()
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// write writes a sample now.
func (w *world) write(value float64, series ...string) {
	w.t.Helper()
	app := w.db.AppenderV2(w.t.Context())
	if _, err := app.Append(0, labels.FromStrings(series...), 0, w.clock().UnixMilli(), value, nil, nil, storage.AOptions{}); err != nil {
		w.t.Fatal(err)
	}
	if err := app.Commit(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) options() Options {
	return Options{
		Database: w.db, Path: w.dir, StateFile: filepath.Join(w.t.Name()), Tell: w.tell, Host: "db-1", Now: w.clock,
		Interval: 30 * time.Second, system: w.clock,
	}
}

// stepped is an evaluation whose steps the test takes.
type stepped struct {
	*Rules
	w      *world
	groups []*prom.Group
	steps  int
}

// start begins an evaluation whose state is in a file.
func (w *world) start(state string) *stepped {
	w.t.Helper()
	o := w.options()
	o.StateFile = state
	r, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	r.began = time.Now()
	r.loadTold(w.t.Context())
	m := r.newManager(w.t.Context())
	files, err := r.loader.look(w.dir, false)
	if err != nil {
		w.t.Fatal(err)
	}
	groups, errs := m.LoadGroups(o.Interval, labels.EmptyLabels(), "", r.evaluate, false, files...)
	if len(errs) > 0 {
		w.t.Fatal(errs)
	}
	s := &stepped{Rules: r, w: w}
	for _, g := range groups {
		s.groups = append(s.groups, g)
	}
	return s
}

// step moves time on, writes a sample of x, evaluates, and restores after two steps, as
// Prometheus does. It returns what was told: "status uid, …", with uids a, b, … in turn.
func (s *stepped) step(value float64, series ...string) string {
	s.w.t.Helper()
	s.w.mu.Lock()
	s.w.now = s.w.now.Add(30 * time.Second)
	before := len(s.w.told)
	s.w.mu.Unlock()
	s.w.write(value, append([]string{"__name__", "x"}, series...)...)
	for _, g := range s.groups {
		s.evaluate(s.w.t.Context(), g, s.w.clock())
	}
	if s.steps++; s.steps == 2 {
		for _, g := range s.groups {
			g.RestoreForState(s.w.clock())
		}
	}
	s.publishWaiting(s.w.t.Context())
	return s.w.since(before)
}

// since is what was told from a number on.
func (w *world) since(n int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	uids := map[string]string{}
	var words []string
	for i, ev := range w.told {
		f := ev.GetFinding()
		if uids[f.GetUid()] == "" {
			uids[f.GetUid()] = string(rune('a' + len(uids)))
		}
		if i >= n {
			words = append(words, f.GetStatus()+" "+uids[f.GetUid()])
		}
	}
	return strings.Join(words, ", ")
}

// until waits for something that other goroutines bring about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited for nothing: %s", what)
		}
	}
}
