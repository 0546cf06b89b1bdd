package ingest

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/keeper"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

func dayNamesOf(t *testing.T, c *vlogs.Client) []string {
	t.Helper()
	names, err := c.Days(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestRetention: days go by their names, on a time that both clocks believe.
func TestRetention(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: days of events")
	}
	t.Parallel()
	l := newLogged(11)
	today := time.Now().UTC().Truncate(24 * time.Hour)
	for back := 5; back >= 0; back-- {
		l.now = today.AddDate(0, 0, -back).Add(time.Hour)
		l.appendMany(t, 300)
	}
	clock := time.Now()
	r := startFeed(t, l, t.TempDir(), func(o *Options) {
		o.Retention = Retention{Days: 10, ByType: map[string]int{"process.sample": 1}}
		o.Now = func() time.Time { return clock }
	})
	r.settled(t, l)
	all := dayNamesOf(t, r.keeper.Client())
	if len(all) != 6 {
		t.Fatalf("days %v", all)
	}
	check := func(what string, want []string) {
		t.Helper()
		if err := r.retainOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := dayNamesOf(t, r.keeper.Client()); !slices.Equal(got, want) {
			t.Errorf("%s: days %v, want %v", what, got, want)
		}
	}
	check("nothing is too old", all)
	samples, err := r.count(t.Context(), "type:=process.sample _time:<"+today.AddDate(0, 0, -1).Format(time.RFC3339))
	if err != nil || samples != 0 {
		t.Errorf("%d samples are older than a day, %v", samples, err)
	}
	if n, err := r.count(t.Context(), "type:=process.sample"); err != nil || n == 0 {
		t.Errorf("%d samples are left, %v", n, err)
	}
	rows, err := r.count(t.Context(), "*")
	if err != nil || rows != r.Status().GetEvents() {
		t.Errorf("%d rows, status %v, %v", rows, r.Status(), err)
	}
	clock = clock.AddDate(1, 0, 0)
	check("the store's clock is set ahead", all)
	clock = clock.AddDate(-2, 0, 0)
	check("the store's clock is set back", all)
	clock = time.Now()
	r.o.Retention.Days = 3
	check("three days are kept", all[2:])
	r.o.Retention.Bytes = 1
	if err := r.keeper.Mended(t.Context(), keeper.State{}); err != nil { // it measures the days
		t.Fatal(err)
	}
	check("all take too much", all[5:])
	r.o.Retention.Bytes, r.o.Retention.MinFree = 0, 1<<60
	check("the newest day stays", all[5:])
	if s := r.Status(); len(s.GetDays()) != 1 {
		t.Errorf("status %v", s)
	}
	// A hub whose clock is set ahead removes nothing either.
	l.now = today.AddDate(1, 0, 0).Add(time.Hour)
	l.appendMany(t, 10)
	r.settled(t, l)
	r.o.Retention.MinFree = 0
	check("the hub's clock is set ahead", append(all[5:], l.now.Format(dayFormat)))
}

// TestOddEventsAreStored: none is lost, and none takes others with it.
func TestOddEventsAreStored(t *testing.T) {
	t.Parallel()
	l := newLogged(12)
	base := func(change func(ev *pb.Event)) {
		ev := &pb.Event{Type: "test.odd", Severity: 1, Host: &pb.Host{Name: "h"}, Agent: &pb.Agent{Id: "a"}}
		change(ev)
		l.appendEvents(t, l.encode(t, ev))
	}
	at := func(when time.Time) {
		ev := &pb.Event{Id: []byte("0123456789abcdef"), Time: timestamppb.New(when), Type: "test.time"}
		b, err := encode(ev)
		if err != nil {
			t.Fatal(err)
		}
		l.appendEvents(t, b)
	}
	for _, when := range []time.Time{
		time.Unix(0, 1), time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		time.Date(2262, 4, 11, 23, 47, 16, 854775807, time.UTC), time.Now().Add(23 * time.Hour), time.Now().AddDate(0, 0, -29), time.Now().AddDate(0, 0, -31),
	} {
		at(when)
		at(when) // the same event twice
	}
	for _, text := range []string{
		"\x00", "a\x00b", "\u2028\ufeff\U0010ffff", "_", "1_000", "-0", "22.10", "0.41", "1a.2.3.4", "2026-02-30T00:00:00.000Z", " ", "\n", "{", "[]", "\"",
		"18446744073709551615", "18446744073709551616", "0.1234567890123456789", "…", "-", "1e5", "NaN",
	} {
		base(func(ev *pb.Event) { ev.Message = text })
		base(func(ev *pb.Event) { ev.Host.OsVersion = text; ev.Labels = map[string]string{text: text} })
	}
	for range 3 {
		base(func(ev *pb.Event) { ev.Message = long(1_000_000) })
		base(func(ev *pb.Event) { ev.Message, ev.Host.OsVersion = long(500_000), long(400_000) })
	}
	for i := range 3000 {
		base(func(ev *pb.Event) { ev.Labels = map[string]string{"bomb" + time.Duration(i).String(): "x"} })
	}
	l.appendMany(t, 500)
	r := startFeed(t, l, t.TempDir())
	r.settled(t, l)
	l.same(t, stored(t, r.keeper.Client(), "*"))
	if r.dropped != 0 {
		t.Errorf("the engine dropped %v events", r.dropped)
	}
}

func long(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "abcdefghij klmnopqr\tstuvwxyz"[i%28]
	}
	return string(b)
}

// TestAKillAfterMidnight: what is lost is of two days, and the second is new.
func TestAKillAfterMidnight(t *testing.T) {
	t.Parallel()
	l := newLogged(13)
	midnight := time.Now().UTC().Truncate(24 * time.Hour)
	l.now = midnight.Add(-2 * time.Second)
	r := startFeed(t, l, t.TempDir(), func(o *Options) { o.BarrierEvery = time.Hour })
	l.appendMany(t, 2000)
	l.now = midnight.Add(2 * time.Second)
	l.appendMany(t, 2000)
	until(t, "all was given", func() bool { return r.Next() == l.log.Stat().NextOffset })
	killEngine(t, r)
	until(t, "it goes on", func() bool { return r.epoch.Load() > 1 && r.Next() == l.log.Stat().NextOffset })
	r.stop()
	l.same(t, storedAgain(t, l, r))
}
