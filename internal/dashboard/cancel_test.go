package dashboard_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/dashboard"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestQuestionsEndWithTheirCaller: when a browser goes away, what the hub does
// for it ends at once.
func TestQuestionsEndWithTheirCaller(t *testing.T) {
	s := newSite(t)
	s.hub.bus.publish(samples("nginx", 3)...)
	c := s.signedIn(t, "viewer")
	for _, path := range []string{"/api/events?query=process.name:~%22n.*x%22", "/api/events/1"} {
		began, ended := make(chan struct{}), make(chan error, 1)
		wait := func(ctx context.Context, _ proto.Message) {
			close(began)
			select {
			case <-ctx.Done():
				ended <- ctx.Err()
			case <-time.After(10 * time.Second):
				ended <- errors.New("still asked after ten seconds")
			}
		}
		s.hub.asked.Store(&wait)
		ctx, leave := context.WithCancel(t.Context())
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			if response, err := c.http.Do(request); err == nil {
				response.Body.Close()
			}
		}()
		<-began
		leave()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", path, err)
		}
		<-gone
		s.hub.asked.Store(nil)
	}
}

// TestOverviewSearchesAreBounded: the overview is made each second, and a store
// may hold months.
func TestOverviewSearchesAreBounded(t *testing.T) {
	s := newSite(t)
	c := s.signedIn(t, "viewer")
	var searches atomic.Int32
	look := func(_ context.Context, req proto.Message) {
		search, ok := req.(*pb.SearchEventsRequest)
		if !ok {
			return
		}
		searches.Add(1)
		if since := search.GetSince(); since == nil || time.Since(since.AsTime()) > 25*time.Hour {
			t.Errorf("a search without end: %v", search)
		}
	}
	s.hub.asked.Store(&look)
	if code := c.do("GET", "/api/overview", nil, nil); code != http.StatusOK {
		t.Fatal(code)
	}
	if searches.Load() != 4 {
		t.Errorf("%d searches", searches.Load())
	}
}

// TestStreamJoinsSearch: a stream from where a search is complete to gives what
// the search did not, each event once, while more come all the time.
func TestStreamJoinsSearch(t *testing.T) {
	s := newSite(t, func(o *dashboard.Options) { o.Config.Live.MaxEvents = 5_000 })
	c := s.signedIn(t, "viewer")
	const total, step = 2_000, 20
	published := make(chan struct{})
	go func() {
		defer close(published)
		for range total / step {
			s.hub.bus.publish(samples("nginx", step)...)
		}
	}()
	for range 5 {
		var found dashboard.EventsAnswer
		if code := c.do("GET", "/api/events?limit=1", nil, &found); code != http.StatusOK {
			t.Fatal(code)
		}
		if found.Total != found.CompleteTo {
			t.Fatalf("%d events, complete to %d", found.Total, found.CompleteTo)
		}
		b := c.tab(t)
		b.say(`{"op":"subscribe","id":"1","topic":"events","query":"","from":%d}`, found.CompleteTo)
		want := found.CompleteTo
		for want < total {
			for _, e := range b.answer().Events {
				if e.Offset != want {
					t.Fatalf("from %d: event %d, want %d", found.CompleteTo, e.Offset, want)
				}
				want++
			}
		}
		b.ws.CloseNow()
	}
	<-published
}
