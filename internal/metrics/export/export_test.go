package export

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage"
	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

// receiver is one that may fail, and keeps what it takes: "series@ms=value".
type receiver struct {
	*httptest.Server

	mu    sync.Mutex // guards what follows
	fail  func(n int) int
	tries int
	got   []string
	heads http.Header
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries++
	if r.fail != nil {
		if status := r.fail(r.tries); status != 0 {
			http.Error(w, "not\nnow", status)
			return
		}
	}
	r.heads = req.Header.Clone()
	b, err := io.ReadAll(req.Body)
	if err == nil {
		b, err = s2.Decode(nil, b)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if strings.Contains(req.Header.Get("Content-Type"), "v2.Request") {
		r.take2(b)
		return
	}
	var in prompb.WriteRequest
	if err := in.Unmarshal(b); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, s := range in.Timeseries {
		var words []string
		for _, l := range s.Labels {
			words = append(words, l.Name+"="+l.Value)
		}
		for _, x := range s.Samples {
			r.got = append(r.got, fmt.Sprintf("%s@%d=%s", strings.Join(words, ","), x.Timestamp, shown(x.Value)))
		}
	}
}

func (r *receiver) take2(b []byte) {
	var in writev2.Request
	if err := in.Unmarshal(b); err != nil {
		return
	}
	for _, s := range in.Timeseries {
		var words []string
		for i := 0; i < len(s.LabelsRefs); i += 2 {
			words = append(words, in.Symbols[s.LabelsRefs[i]]+"="+in.Symbols[s.LabelsRefs[i+1]])
		}
		for _, x := range s.Samples {
			r.got = append(r.got, fmt.Sprintf("%s@%d=%s", strings.Join(words, ","), x.Timestamp, shown(x.Value)))
		}
	}
}

func shown(v float64) string {
	if value.IsStaleNaN(v) {
		return "stale"
	}
	return fmt.Sprint(v)
}

func (r *receiver) has() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := slices.Clone(r.got)
	slices.Sort(got)
	return slices.Compact(got)
}

// lab is a database and what sends from it.
type lab struct {
	t      *testing.T
	path   string
	places string
	db     *metrics.DB
	mu     sync.Mutex
	out    *Exporter
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, path: filepath.Join(t.TempDir(), "metrics"), places: t.TempDir()}
	db, err := metrics.New(metrics.Options{Path: l.path, Written: l.notify})
	if err != nil {
		t.Fatal(err)
	}
	l.db = db
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
	return l
}

func (l *lab) notify() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.out != nil {
		l.out.Notify()
	}
}

// start begins to send, until the test or stop ends it.
func (l *lab) start(reg prometheus.Registerer, targets ...Target) (e *Exporter, stop func()) {
	l.t.Helper()
	for i := range targets {
		targets[i].FlushEvery = cmp.Or(targets[i].FlushEvery, 5*time.Millisecond)
	}
	e, err := New(Options{
		Path: l.path, Places: l.places, Targets: targets, Registerer: reg, Version: "1",
		firstPause: time.Millisecond, lastPause: 10 * time.Millisecond,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return e, l.run(e)
}

// run has an exporter send, until the test or stop ends it.
func (l *lab) run(e *Exporter) (stop func()) {
	l.t.Helper()
	ctx, cancel := context.WithCancel(l.t.Context())
	done := make(chan struct{})
	go func() { e.Run(ctx); close(done) }()
	for _, s := range e.senders {
		until(l.t, "the log is followed", func() bool { return s.place.at() != nowhere() })
	}
	l.mu.Lock()
	l.out = e
	l.mu.Unlock()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	l.t.Cleanup(stop)
	return stop
}

// write writes samples of now, one a series.
func (l *lab) write(v float64, series ...labels.Labels) {
	l.t.Helper()
	l.writeAt(v, []int64{time.Now().UnixMilli()}, series...)
}

// writeAt writes samples of some times, in milliseconds, for each series, at once.
func (l *lab) writeAt(v float64, times []int64, series ...labels.Labels) {
	l.t.Helper()
	app := l.db.AppenderV2(l.t.Context())
	for _, at := range times {
		for _, s := range series {
			if _, err := app.Append(0, s, 0, at, v, nil, nil, storage.AOptions{}); err != nil {
				l.t.Fatal(err)
			}
		}
	}
	if err := app.Commit(); err != nil {
		l.t.Fatal(err)
	}
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited for nothing: %s", what)
		}
	}
}

// count is how many different samples of a series were taken.
func (r *receiver) count(series string) (n int) {
	for _, g := range r.has() {
		if strings.HasPrefix(g, series+"@") {
			n++
		}
	}
	return n
}

// TestRemoteWrite: both versions, with selectors, own labels and a secret of its own; a
// receiver that fails gets all of it once it is back, one that refuses loses that request
// alone.
func TestRemoteWrite(t *testing.T) {
	l := newLab(t)
	one, two, refuser := newReceiver(t), newReceiver(t), newReceiver(t)
	one.fail = func(n int) int { return []int{500, 503, 429, 0}[min(n-1, 3)] }
	refuser.fail = func(n int) int { return []int{403, 0}[min(n-1, 1)] }
	match := [][]*labels.Matcher{{labels.MustNewMatcher(labels.MatchEqual, "__name__", "a")}}
	reg := prometheus.NewPedanticRegistry()
	e, stop := l.start(reg,
		Target{Name: "one", URL: one.URL, Protocol: RemoteWrite1, Match: match, Labels: labels.FromStrings("site", "x", "host", "not")},
		Target{Name: "two", URL: two.URL, Protocol: RemoteWrite2, Header: func() (http.Header, error) { return http.Header{"Authorization": {"Bearer b"}}, nil }},
		Target{Name: "refuser", URL: refuser.URL, Protocol: RemoteWrite1},
	)
	l.write(1, labels.FromStrings("__name__", "a", "host", "h"), labels.FromStrings("__name__", "b", "host", "h"))
	until(t, "they have it", func() bool { return one.count("__name__=a,host=h,site=x") == 1 && two.count("__name__=b,host=h") == 1 })
	l.write(math.Float64frombits(value.StaleNaN), labels.FromStrings("__name__", "a", "host", "h"))
	until(t, "they have the end", func() bool { return one.count("__name__=a,host=h,site=x") == 2 && two.count("__name__=a,host=h") == 2 })
	until(t, "what was not refused", func() bool { return refuser.count("__name__=a,host=h") == 1 })
	if got := one.has(); len(got) != 2 || !strings.HasSuffix(got[1], "=stale") && !strings.HasSuffix(got[0], "=stale") {
		t.Error(got)
	}
	if two.heads.Get("Authorization") != "Bearer b" || two.heads.Get("X-Prometheus-Remote-Write-Version") != "2.0.0" {
		t.Error(two.heads)
	}
	if state, reason := e.Status(); state != "degraded" || !strings.HasPrefix(reason, "refuser refuses metrics: 2 samples since ") {
		t.Error(state, reason)
	}
	stop()
	m := e.senders[2].metrics
	if n := testutil.ToFloat64(m.dropped.WithLabelValues(dropRefused)); n != 2 {
		t.Errorf("%g samples were refused", n)
	}
	if n := testutil.ToFloat64(e.senders[0].metrics.retries); n != 3 {
		t.Errorf("%g tries", n)
	}
}

// TestReceiverAway: nothing waits for it, memory is bounded, and it gets all of it.
func TestReceiverAway(t *testing.T) {
	l := newLab(t)
	r := newReceiver(t)
	away := true
	r.fail = func(int) int {
		if away {
			return 503
		}
		return 0
	}
	e, _ := l.start(nil, Target{Name: "r", URL: r.URL, Protocol: RemoteWrite1, BatchSamples: 10})
	for i := range 300 {
		l.write(float64(i), labels.FromStrings("__name__", "a", "n", fmt.Sprint(i)))
	}
	s := e.senders[0]
	until(t, "it is tried again", func() bool { return testutil.ToFloat64(s.metrics.retries) > 2 })
	if held := len(s.queue); held > waitingBatches {
		t.Errorf("%d batches wait in memory", held)
	}
	if s.trouble() != "" {
		t.Error("it is no trouble yet")
	}
	s.mu.Lock()
	s.since = time.Now().Add(-time.Hour)
	s.mu.Unlock()
	if state, reason := e.Status(); state != "degraded" || !strings.Contains(reason, "it answers 503: not now") {
		t.Error(state, reason)
	}
	r.mu.Lock()
	away = false
	r.mu.Unlock()
	until(t, "it has all", func() bool { return len(r.has()) == 300 })
	if state, _ := e.Status(); state != "ok" {
		t.Error(state)
	}
}

// TestRestart: what came while the program did not run is sent when it does.
func TestRestart(t *testing.T) {
	l := newLab(t)
	r := newReceiver(t)
	target := Target{Name: "r", URL: r.URL, Protocol: RemoteWrite2}
	_, stop := l.start(nil, target)
	l.write(1, labels.FromStrings("__name__", "a"))
	until(t, "the first", func() bool { return len(r.has()) == 1 })
	stop()
	l.write(2, labels.FromStrings("__name__", "a"))
	_, stop = l.start(nil, target)
	until(t, "the second", func() bool { return len(r.has()) == 2 })
	stop()
	if err := os.WriteFile(filepath.Join(l.places, "r"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.start(nil, target)
	l.write(3, labels.FromStrings("__name__", "a"))
	until(t, "the third", func() bool { return len(r.has()) == 3 })
}

// TestRefusesOptions: a receiver without a name, an address or a protocol.
func TestRefusesOptions(t *testing.T) {
	for _, bad := range [][]Target{
		{{Name: "", URL: "http://x", Protocol: OTLP}},
		{{Name: "a", Protocol: OTLP}},
		{{Name: "a", URL: "http://x", Protocol: "x"}},
		{{Name: "a", URL: "http://x", Protocol: OTLP}, {Name: "a", URL: "http://y", Protocol: OTLP}},
	} {
		if _, err := New(Options{Targets: bad}); err == nil {
			t.Errorf("%+v", bad)
		}
	}
}

// TestAddressIsNoSecretTold: a token in an address is neither in logs nor in the status.
func TestAddressIsNoSecretTold(t *testing.T) {
	r := newReceiver(t)
	r.Close()
	var log strings.Builder
	e, err := New(Options{
		Path: t.TempDir(), Places: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Targets: []Target{{Name: "r", URL: r.URL + "/write?token=hush", Protocol: RemoteWrite1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := e.senders[0]
	failure := s.post(t.Context(), &batch{}, nil, nil)
	s.note(t.Context(), failure, nil)
	s.since = time.Now().Add(-time.Hour)
	if _, reason := e.Status(); failure == nil || strings.Contains(reason+log.String(), "hush") || !strings.Contains(log.String(), "/write") {
		t.Error(failure, reason, log.String())
	}
}

// TestLogOpenedAgain: what waits to be sent is not read again when the log is opened again,
// and what comes then is.
func TestLogOpenedAgain(t *testing.T) {
	l := newLab(t)
	e, err := New(Options{Path: l.path, Places: l.places, Targets: []Target{{Name: "r", URL: "http://x", Protocol: RemoteWrite1}}})
	if err != nil {
		t.Fatal(err)
	}
	s := e.senders[0]
	follow := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.follow(ctx); close(done) }()
		return func() { cancel(); <-done }
	}
	waiting := func() (points []string) {
		s.taking.Lock()
		defer s.taking.Unlock()
		if s.open == nil {
			return nil
		}
		for _, p := range s.open.points {
			points = append(points, shown(p.value))
		}
		return points
	}
	stop := follow()
	until(t, "the log is followed", func() bool { return s.place.at() != nowhere() })
	l.write(1, labels.FromStrings("__name__", "a"))
	until(t, "the first waits", func() bool { return len(waiting()) == 1 })
	stop()
	l.write(2, labels.FromStrings("__name__", "a"))
	stop = follow()
	defer func() { stop() }()
	until(t, "the second waits", func() bool { return len(waiting()) > 1 })
	if got := waiting(); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("there wait %v", got)
	}
	stop()
	before := s.open
	s.lose() // as after damage
	stop = follow()
	until(t, "the log is followed", func() bool { return s.place.at() != nowhere() })
	stop()
	at := s.place.at()
	s.place.set(position{Segment: before.end.Segment + 7}, before.round-1)
	if s.place.at() != at || before.round != s.round || before.end != at {
		t.Errorf("what waited since before moves the place to %+v: %+v", s.place.at(), before.end)
	}
}
