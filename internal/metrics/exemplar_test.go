package metrics

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// TestExemplars: those that were written are there after a restart, are bounded, and cannot
// be asked of a database that is not open.
func TestExemplars(t *testing.T) {
	f, path := newFleet(t), t.TempDir()
	db, stop := f.run(t, Options{Path: path})
	f.caughtUp(t, db)
	series := labels.FromStrings("__name__", "x_bucket", "le", "1")
	write := func(db *DB, from, to int) {
		t.Helper()
		app := db.AppenderV2(t.Context())
		at := time.Now().UnixMilli() - int64(exemplarsMost) + int64(from)
		var named []exemplar.Exemplar
		for i := from; i < to; i++ {
			named = append(named, exemplar.Exemplar{Labels: labels.FromStrings("offset", fmt.Sprint(i)), Value: 1, Ts: at + int64(i-from), HasTs: true})
		}
		if _, err := app.Append(0, series, 0, time.Now().UnixMilli(), 1, nil, nil, storage.AOptions{Exemplars: named}); err != nil {
			t.Fatal(err)
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	found := func(db *DB) (n int, last string) {
		t.Helper()
		q, err := db.ExemplarQuerier(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got, err := q.Select(0, time.Now().Add(time.Hour).UnixMilli(), []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "le", "1")})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range got {
			n += len(s.Exemplars)
			last = s.Exemplars[len(s.Exemplars)-1].Labels.Get("offset")
		}
		return n, last
	}
	write(db, 0, 3)
	if n, last := found(db); n != 3 || last != "2" {
		t.Errorf("%d exemplars, the last is %s", n, last)
	}
	stop()
	if q, err := db.ExemplarQuerier(t.Context()); err == nil {
		if _, err := q.Select(0, 1); !IsAway(err) {
			t.Error(err)
		}
	}
	db, _ = f.run(t, Options{Path: path})
	f.caughtUp(t, db)
	if n, last := found(db); n != 3 || last != "2" {
		t.Errorf("after a restart: %d exemplars, the last is %s", n, last)
	}
	write(db, 3, 2*exemplarsMost)
	if n, last := found(db); n != exemplarsMost || last != fmt.Sprint(2*exemplarsMost-1) {
		t.Errorf("%d exemplars, the last is %s", n, last)
	}
}
