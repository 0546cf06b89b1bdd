package ingest

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/vlogs"
	"github.com/amoskys/amoskys/internal/stream"
)

// poison is a word that choosy's engine does not like.
const poison = "qzpoison"

// choosy has the engine refuse what holds poison, after it has stored what stands before
// it, as one does that finds the fault while it reads.
type choosy struct {
	client  func() *vlogs.Client
	all     atomic.Bool // refuse whatever comes
	refused atomic.Uint64
}

func (c *choosy) takesRows(ctx context.Context) error {
	if c.all.Load() {
		return &vlogs.RefusedError{Status: http.StatusBadRequest}
	}
	return c.client().TakesRows(ctx)
}

func (c *choosy) insert(ctx context.Context, r *vlogs.Rows) error {
	no := &vlogs.RefusedError{Status: http.StatusBadRequest, Text: "cannot parse this"}
	if c.all.Load() {
		c.refused.Add(1)
		return no
	}
	for i := range r.Len() {
		one := r.Part(i, i+1)
		if bytes.Contains(one.Encoded(), []byte(poison)) {
			c.refused.Add(1)
			before := r.Part(0, i)
			if err := c.client().Insert(ctx, &before); err != nil {
				return err
			}
			return no
		}
	}
	return c.client().Insert(ctx, r)
}

func (l *logged) appendPoison(t *testing.T, n int) (first stream.Offset) {
	t.Helper()
	var events [][]byte
	for range n {
		b, err := event.Encode(&pb.Event{
			Id: []byte("poison-" + strconv.Itoa(100_000_000+l.n)), Time: timestamppb.New(l.now), Type: "test.poison", Message: poison,
		})
		if err != nil {
			t.Fatal(err)
		}
		l.n++
		events = append(events, slices.Clone(b))
	}
	first = l.appendEvents(t, events...)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range n { // the store is not to have them
		delete(l.events, first+stream.Offset(i))
	}
	return first
}

// TestARowThatTheEngineRefuses is left out, counted and named in what is lacking, whatever
// stands around it; all others are there once, also after kills and when their day is
// built again.
func TestARowThatTheEngineRefuses(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: many engines, one after the other")
	}
	t.Parallel()
	l, path := newLogged(21), t.TempDir()
	var r *running
	c := &choosy{client: func() *vlogs.Client { return r.keeper.Client() }}
	choose := func(o *Options) { c.client, o.insert, o.takesRows = o.Engine.(kept).Client, c.insert, c.takesRows }
	l.appendMany(t, 700)
	first := l.appendPoison(t, 1)
	l.appendMany(t, 700)
	r = startFeed(t, l, path, choose)
	l.appendPoison(t, 2)
	r.settled(t, l)
	l.appendPoison(t, 1) // alone in its batch
	r.settled(t, l)
	check := func(what string) {
		t.Helper()
		l.same(t, stored(t, r.keeper.Client(), "*"))
		var told uint64
		for _, lack := range r.Lacks(time.Time{}, time.Time{}) {
			if lack.GetPlace() != "store" || !strings.Contains(lack.GetReason(), "refused the event") {
				t.Errorf("%s: lack %v", what, lack)
			}
			told += lack.GetCount()
		}
		if told != 4 {
			t.Errorf("%s: %d events are told to be lacking, want 4", what, told)
		}
		sum := uint64(0)
		for _, n := range r.Place().Days {
			sum += n
		}
		if sum != l.kept() {
			t.Errorf("%s: %d events are counted, want %d", what, sum, l.kept())
		}
		if s := r.Status(); s.GetState() != "degraded" || !strings.Contains(s.GetReason(), "4 events are not stored") {
			t.Errorf("%s: status %v", what, s)
		}
	}
	check("as they come")
	if lack := r.Lacks(time.Time{}, time.Time{})[0]; !strings.Contains(lack.GetReason(), "offset "+strconv.FormatUint(first, 10)) {
		t.Errorf("lack %v, want one of offset %d", lack, first)
	}
	l.appendMany(t, 300)
	killEngine(t, r)
	r.settled(t, l)
	check("after a kill")
	r.stop()
	day := l.now.UTC().Format(dayFormat)
	spoil(t, path, day)
	r = startFeed(t, l, path, choose)
	l.appendMany(t, 10)
	r.settled(t, l)
	check("after the day was built again")
}

// TestAnEngineThatRefusesAll loses no event: it is asked again until it takes them.
func TestAnEngineThatRefusesAll(t *testing.T) {
	t.Parallel()
	l := newLogged(22)
	c := &choosy{}
	c.all.Store(true)
	l.appendMany(t, 300)
	r := startFeed(t, l, t.TempDir(), func(o *Options) {
		c.client, o.insert, o.takesRows = o.Engine.(kept).Client, c.insert, c.takesRows
	})
	until(t, "it was asked again", func() bool { return c.refused.Load() > 3 })
	until(t, "the store says so", func() bool {
		return r.Status().GetState() == "degraded" && strings.Contains(r.Status().GetReason(), "refuses")
	})
	c.all.Store(false)
	r.settled(t, l)
	l.same(t, stored(t, r.keeper.Client(), "*"))
	if lacks := r.Lacks(time.Time{}, time.Time{}); len(lacks) > 0 {
		t.Errorf("lacks %v", lacks)
	}
}

// TestManyRefusedEventsAreTold by their days, when they are too many to be told one by one.
func TestManyRefusedEventsAreTold(t *testing.T) {
	p := Place{Log: 2}
	for i := range uint64(500) {
		day := []string{"20260101", "20260102"}[i/2%2]
		if !p.addRefused(i, day, time.Unix(0, 0)) {
			t.Fatalf("%d is known", i)
		}
	}
	if p.addRefused(3, "20260102", time.Unix(0, 0)) {
		t.Error("one is told twice")
	}
	sum := uint64(0)
	for _, g := range p.Gaps {
		sum += g.Count
	}
	if len(p.Gaps) != maxRefusedGaps || sum != 500 {
		t.Errorf("%d gaps tell of %d events", len(p.Gaps), sum)
	}
}
