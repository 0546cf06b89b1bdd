package ingest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/stream/streamtest"
)

// days fills a log with events of three days, the last of which is today.
func days(t *testing.T, l *logged, n int) {
	t.Helper()
	today := time.Now().UTC().Truncate(24 * time.Hour)
	for _, at := range []time.Time{today.Add(-36 * time.Hour), today.Add(-12 * time.Hour), today.Add(-time.Second), today.Add(time.Second)} {
		l.now = at
		l.appendMany(t, n)
	}
}

// spoil damages files of a day so that the engine cannot open it.
func spoil(t *testing.T, path, day string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(path, "engine", "partitions", day, "datadb", "*", "metadata.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("day %s has no parts: %v", day, err)
	}
	for _, f := range files {
		if err := os.WriteFile(f, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestADayThatIsSetAsideIsRebuilt: from the log, while the rest goes on, and although the
// engine dies meanwhile.
func TestADayThatIsSetAsideIsRebuilt(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: it waits for engines that begin anew")
	}
	t.Parallel()
	for name, kill := range map[string]bool{"in peace": false, "with a kill": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLogged(9)
			path := t.TempDir()
			days(t, l, 1000)
			r := startFeed(t, l, path)
			r.settled(t, l)
			before := r.Place().Days
			r.stop()
			yesterday := time.Now().UTC().AddDate(0, 0, -1).Format(dayFormat)
			spoil(t, path, yesterday)
			r = startFeed(t, l, path, func(o *Options) { o.BatchRows = 100 })
			l.appendMany(t, 1000)
			if kill {
				until(t, "the day is being rebuilt", func() bool { return len(r.Place().Rebuilds) > 0 })
				killEngine(t, r)
			}
			r.settled(t, l)
			if s := r.keeper.State(); len(s.SetAside) != 1 || s.SetAside[0].Day != yesterday {
				t.Errorf("set aside: %+v", s.SetAside)
			}
			l.same(t, stored(t, r.keeper.Client(), "*"))
			if p := r.Place(); p.Days[yesterday] != before[yesterday] || len(r.Lacks(time.Time{}, time.Time{})) > 0 {
				t.Errorf("day %s has %d events, had %d; lacks %v", yesterday, p.Days[yesterday], before[yesterday], r.Lacks(time.Time{}, time.Time{}))
			}
			if s := r.Status(); s.GetState() != "ok" {
				t.Errorf("status %v", s)
			}
			r.stop()
		})
	}
}

// TestWhatTheLogNoLongerHasIsALack: of a day that is rebuilt.
func TestWhatTheLogNoLongerHasIsALack(t *testing.T) {
	t.Parallel()
	l := newLogged(10)
	path := t.TempDir()
	days(t, l, 1000)
	r := startFeed(t, l, path)
	r.settled(t, l)
	r.stop()
	yesterday := time.Now().UTC().AddDate(0, 0, -1)
	had := r.Place().Days[yesterday.Format(dayFormat)]
	spoil(t, path, yesterday.Format(dayFormat))
	model := l.log.(*streamtest.Model)
	middle := uint64(0)
	for off := range l.events {
		middle = max(middle, off/2)
	}
	model.Trim(middle)
	r = startFeed(t, l, path)
	r.settled(t, l)
	has := r.Place().Days[yesterday.Format(dayFormat)]
	lacks := r.Lacks(yesterday.Add(-time.Hour), yesterday.Add(time.Hour))
	if len(lacks) != 1 || lacks[0].GetCount() != had-has || has == 0 || has >= had || !strings.Contains(lacks[0].GetReason(), "set aside") {
		t.Errorf("of %d events %d are there again; lacks %v", had, has, lacks)
	}
	if other := r.Lacks(yesterday.AddDate(0, 0, -9), yesterday.AddDate(0, 0, -8)); len(other) > 0 {
		t.Errorf("another time lacks %v", other)
	}
}
