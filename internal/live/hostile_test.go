package live_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/live"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestHugeNamesStaySmall: a host's name may fill an event of a megabyte, and
// series outlive the events by hours.
func TestHugeNamesStaySmall(t *testing.T) {
	const most = 1 << 10
	now := func() time.Time { return epoch.Add(time.Minute) }
	recorder := live.NewRecorder(live.RecorderOptions{Now: now})
	ring := live.NewRing(live.RingOptions{Recorder: recorder, Now: now})
	for i := range 3 {
		ev := sample(i)
		ev.Host.Name = strings.Repeat("é", 1<<17) + fmt.Sprint(i)
		ev.Agent.Id = ev.Host.Name
		ring.Add(batchOf(uint64(i), epoch, encode(t, ev)))
	}
	series, err := recorder.Series(t.Context(), &pb.SeriesRequest{
		Names: []string{live.SeriesAgentEvents, live.SeriesHostEvents}, Step: durationpb.New(time.Second),
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(series.GetSeries()) == 0 {
		t.Error("no series")
	}
	for _, s := range series.GetSeries() {
		for name, value := range s.GetLabels() {
			if len(value) > most || !utf8.ValidString(value) {
				t.Errorf("label %s has %d bytes", name, len(value))
			}
		}
	}
	found, err := ring.Search(t.Context(), &pb.SearchEventsRequest{Facets: []string{"host", "agent", "process.name"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found.GetFacets() {
		for _, v := range f.GetValues() {
			if len(v.GetValue()) > most || !utf8.ValidString(v.GetValue()) {
				t.Errorf("value of %s has %d bytes", f.GetField(), len(v.GetValue()))
			}
		}
	}
}

// TestHistogramOfNoTime: ranges that hold nothing, or more than a number can
// tell.
func TestHistogramOfNoTime(t *testing.T) {
	ring := live.NewRing(live.RingOptions{Now: func() time.Time { return epoch }})
	ring.Add(batchOf(0, epoch, encode(t, sample(0))))
	at := func(year int) *timestamppb.Timestamp {
		return timestamppb.New(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC))
	}
	for _, years := range [][2]int{{2030, 2020}, {2200, 1970}, {1701, 2249}, {2249, 1701}, {1, 9999}, {9999, 1}} {
		_, err := ring.Search(t.Context(), &pb.SearchEventsRequest{
			Since: at(years[0]), Until: at(years[1]), HistogramBuckets: 60,
		})
		if err != nil {
			t.Errorf("%v: %v", years, err)
		}
	}
}

// TestPagesAreBoundedByBytes: pages of huge events stay small enough to send,
// and lead through everything all the same.
func TestPagesAreBoundedByBytes(t *testing.T) {
	ring := live.NewRing(live.RingOptions{Now: func() time.Time { return epoch }})
	for n := range 20 {
		ev := sample(n)
		ev.Message = strings.Repeat("x", 1<<20-2048)
		ring.Add(batchOf(uint64(n), epoch, encode(t, ev)))
	}
	req := &pb.SearchEventsRequest{Limit: 1000}
	seen := 0
	for more := true; more; {
		got := search(t, ring, req)
		page := got.GetEvents()
		if size := len(page) << 20; size > 8<<20+2048*8 || len(page) == 0 {
			t.Fatalf("a page of %d events", len(page))
		}
		seen += len(page)
		req.BeforeOffset = page[len(page)-1].GetOffset()
		more = got.GetMore()
	}
	if seen != 20 {
		t.Errorf("saw %d events, want 20", seen)
	}
}
