package export

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// strict is a receiver with the database of Prometheus, which takes nothing out of order
// and refuses as Prometheus does: of version 1 whole requests, of version 2 samples.
type strict struct {
	*httptest.Server

	t  *testing.T
	db *tsdb.DB

	mu   sync.Mutex    // guards what follows
	held chan struct{} // not nil: the next request is stored and not answered; closed then
}

func newStrict(t *testing.T) *strict {
	t.Helper()
	db, err := tsdb.Open(t.TempDir(), slog.New(slog.DiscardHandler), nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &strict{t: t, db: db}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(func() {
		p.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// hold has the next request stored and not answered, and returns what tells of it.
func (p *strict) hold() (stored <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = make(chan struct{})
	return p.held
}

func (p *strict) serve(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err == nil {
		b, err = s2.Decode(nil, b)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if strings.Contains(r.Header.Get("Content-Type"), "v2.Request") {
		err = p.store2(w, r, b)
	} else {
		err = p.store1(r, b)
	}
	p.mu.Lock()
	held := p.held
	p.held = nil
	p.mu.Unlock()
	if held != nil {
		close(held)
		<-r.Context().Done()
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func (p *strict) store1(r *http.Request, b []byte) error {
	var in prompb.WriteRequest
	if err := in.Unmarshal(b); err != nil {
		return err
	}
	app := p.db.Appender(r.Context())
	builder := labels.NewScratchBuilder(0)
	for _, s := range in.Timeseries {
		for _, x := range s.Samples {
			if _, err := app.Append(0, s.ToLabels(&builder, nil), x.Timestamp, x.Value); err != nil {
				return errors.Join(err, app.Rollback())
			}
		}
	}
	return app.Commit()
}

func (p *strict) store2(w http.ResponseWriter, r *http.Request, b []byte) (refused error) {
	var in writev2.Request
	if err := in.Unmarshal(b); err != nil {
		return err
	}
	app := p.db.Appender(r.Context())
	builder := labels.NewScratchBuilder(0)
	n := 0
	for _, s := range in.Timeseries {
		l, err := s.ToLabels(&builder, in.Symbols)
		if err != nil {
			return err
		}
		for _, x := range s.Samples {
			if _, err := app.Append(0, l, x.Timestamp, x.Value); err != nil {
				refused = err
			} else {
				n++
			}
		}
	}
	w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(n))
	return errors.Join(refused, app.Commit())
}

// put stores a sample that another sender had.
func (p *strict) put(l labels.Labels, at int64) {
	p.t.Helper()
	app := p.db.Appender(p.t.Context())
	if _, err := app.Append(0, l, at, 1); err != nil {
		p.t.Fatal(err)
	}
	if err := app.Commit(); err != nil {
		p.t.Fatal(err)
	}
}

// has are the samples that it has, as series@second since begin.
func (p *strict) has(begin int64) string {
	q, err := p.db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		p.t.Error(err)
		return ""
	}
	defer func() { _ = q.Close() }() // of a database that nobody writes to
	var list []string
	set := q.Select(p.t.Context(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".+"))
	for set.Next() {
		for it := set.At().Iterator(nil); it.Next() != chunkenc.ValNone; {
			at, _ := it.At()
			list = append(list, fmt.Sprintf("%s@%d", set.At().Labels().Get("__name__"), (at-begin)/1000))
		}
	}
	if err := errors.Join(set.Err()); err != nil {
		p.t.Error(err)
	}
	return strings.Join(list, " ")
}

func named(names ...string) (list []labels.Labels) {
	for _, n := range names {
		list = append(list, labels.FromStrings("__name__", n))
	}
	return list
}

func (s *sender) droppedFor(reason string) float64 {
	return testutil.ToFloat64(s.metrics.dropped.WithLabelValues(reason))
}

// TestStoreKilled: the store is killed while a request is under way that the receiver has
// stored, and then its database writes the last samples again. The receiver gets each
// sample, none of those is counted as lost, and they are told as what they are.
func TestStoreKilled(t *testing.T) {
	for _, protocol := range []Protocol{RemoteWrite1, RemoteWrite2} {
		t.Run(string(protocol), func(t *testing.T) {
			l, p := newLab(t), newStrict(t)
			begin := time.Now().Add(-time.Minute).Truncate(time.Second).UnixMilli()
			at := func(seconds ...int64) (times []int64) {
				for _, s := range seconds {
					times = append(times, begin+s*1000)
				}
				return times
			}
			target := Target{Name: "p", URL: p.URL, Protocol: protocol, BatchSamples: 4, FlushEvery: time.Hour}
			series := named("a", "b")
			_, stop := l.start(nil, target)
			l.writeAt(1, at(0, 1), series...)
			until(t, "it has the first", func() bool { return p.has(begin) == "a@0 a@1 b@0 b@1" })
			stored := p.hold()
			l.writeAt(1, at(2, 3), series...)
			<-stored
			file := filepath.Join(l.places, "p")
			killed, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			stop()
			if err := os.WriteFile(file, killed, 0o600); err != nil { // as it was when it was killed
				t.Fatal(err)
			}
			l.writeAt(1, at(1, 2), series...) // they are read from the hub's log again
			l.writeAt(1, at(4, 5), series...)
			e, _ := l.start(nil, target)
			until(t, "it has all", func() bool { return p.has(begin) == "a@0 a@1 a@2 a@3 a@4 a@5 b@0 b@1 b@2 b@3 b@4 b@5" })
			s := e.senders[0]
			if n := testutil.ToFloat64(s.metrics.repeated); n != 4 {
				t.Errorf("%g samples were in the log twice", n)
			}
			// Of each series the last is the newest that it has, and taken again.
			if n := s.droppedFor(dropAgain); n != 2 {
				t.Errorf("%g samples were refused as it had them", n)
			}
			if n := s.droppedFor(dropRefused) + s.droppedFor(dropLate); n != 0 {
				t.Errorf("%g samples are told as lost", n)
			}
			if state, reason := e.Status(); state != "ok" {
				t.Error(reason)
			}
		})
	}
}

// TestRefusedAlone: what a receiver refuses costs that alone, be it late or of a series of
// which it has newer samples; the status, the log and the counters say which it was.
func TestRefusedAlone(t *testing.T) {
	for _, protocol := range []Protocol{RemoteWrite1, RemoteWrite2} {
		t.Run(string(protocol), func(t *testing.T) {
			l, p := newLab(t), newStrict(t)
			begin := time.Now().Add(-time.Minute).Truncate(time.Second).UnixMilli()
			var said lockedBuffer
			e, err := New(Options{
				Path: l.path, Places: l.places, Logger: slog.New(slog.NewTextHandler(&said, nil)), firstPause: time.Millisecond, lastPause: time.Millisecond,
				Targets: []Target{{Name: "p", URL: p.URL, Protocol: protocol, FlushEvery: time.Millisecond}},
			})
			if err != nil {
				t.Fatal(err)
			}
			l.run(e)
			l.writeAt(1, []int64{begin + 3000}, named("a", "b", "c", "d", "e")...)
			until(t, "the first", func() bool { return p.has(begin) == "a@3 b@3 c@3 d@3 e@3" })
			l.writeAt(1, []int64{begin + 1000}, named("a")...)
			l.writeAt(1, []int64{begin + 4000}, named("b")...)
			s := e.senders[0]
			until(t, "what is late is refused", func() bool { return s.droppedFor(dropLate) == 1 })
			if state, reason := e.Status(); state != "ok" {
				t.Error(reason)
			}
			p.put(named("c")[0], begin+9000)
			l.writeAt(1, []int64{begin + 5000}, named("a", "b", "c", "d", "e")...)
			until(t, "the others", func() bool { return p.has(begin) == "a@3 a@5 b@3 b@4 b@5 c@3 c@9 d@3 d@5 e@3 e@5" })
			until(t, "what is refused is counted", func() bool { return s.droppedFor(dropRefused) == 1 })
			until(t, "the status says so", func() bool {
				state, reason := e.Status()
				return state == "degraded" && strings.HasPrefix(reason, "p refuses metrics: 1 samples since ") && strings.Contains(reason, "it answers 400: out of order sample")
			})
			if said := said.String(); !strings.Contains(said, "they are dropped, and the others are sent") || strings.Contains(said, "sent again") {
				t.Error(said)
			}
			s.mu.Lock()
			s.refused.last = time.Now().Add(-troubledAfter)
			s.mu.Unlock()
			if state, reason := e.Status(); state != "ok" {
				t.Error(reason)
			}
		})
	}
}

// TestRefusesAll: a receiver that refuses whatever it gets is not asked for each sample for
// ever.
func TestRefusesAll(t *testing.T) {
	r := newReceiver(t)
	r.fail = func(int) int { return http.StatusBadRequest }
	e, err := New(Options{Path: t.TempDir(), Places: t.TempDir(), Targets: []Target{{Name: "r", URL: r.URL, Protocol: RemoteWrite1}}})
	if err != nil {
		t.Fatal(err)
	}
	s := e.senders[0]
	tries := func() int {
		r.mu.Lock()
		before := r.tries
		r.mu.Unlock()
		b := &batch{}
		for i := range 1000 {
			b.series = append(b.series, &series{labels: labels.FromStrings("__name__", "a", "n", strconv.Itoa(i))})
			b.points = append(b.points, point{of: int32(i), at: 1})
		}
		if !s.deliver(t.Context(), b) {
			t.Fatal("it ended")
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.tries - before
	}
	got := []int{tries(), tries(), tries()}
	if want := []int{1 + partsMost, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("%v requests, want %v", got, want)
	}
	if n := s.droppedFor(dropRefused); n != 3000 {
		t.Errorf("%g samples are told as refused", n)
	}
}

// TestRecent: what comes again is told from what comes late.
func TestRecent(t *testing.T) {
	var r recent
	const now = int64(1) << 41
	for i, step := range []struct {
		at   int64
		want order
	}{
		{now, inOrder},
		{now, again},
		{now + 5000, inOrder},
		{now + 1000, late},
		{now + 1000, again},
		{now, again},
		{now + 5000, again},
		{now - 1<<32, late}, // the same lower half as now
		{now + 90_000, inOrder},
		{now + 91_000, inOrder},
		{now + 92_000, inOrder},
		{now + 93_000, inOrder},
		{now + 94_000, inOrder},
		{now + 95_000, inOrder},
		{now + 91_000, again},
		{now + 5000, late},
	} {
		if got := r.take(step.at); got != step.want {
			t.Errorf("step %d: %d, want %d", i, got, step.want)
		}
	}
	for i := range int64(1000) {
		r.take(now + 100_000 + i)
	}
	if len(r.times) > recentMost {
		t.Errorf("%d times are kept", len(r.times))
	}
}
