package metrics

import (
	"context"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running returns a database that runs until the test or stop ends it.
func running(t *testing.T, o Options) (db *DB, stop func()) {
	t.Helper()
	if o.Path == "" {
		o.Path = t.TempDir()
	}
	db, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- db.Run(ctx) }()
	ended := false
	stop = func() {
		cancel()
		if ended {
			return
		}
		ended = true
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return db, stop
}

func TestDatabaseIsAskedOnceItIsOpen(t *testing.T) {
	db, _ := running(t, Options{})
	for {
		q, err := db.Querier(0, 1)
		if IsOpening(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := q.Close(); err != nil {
				t.Error(err)
			}
		}()
		names, _, err := q.LabelNames(t.Context(), nil, labels.MustNewMatcher(labels.MatchEqual, "agent", "a"))
		if err != nil || len(names) != 0 {
			t.Errorf("names %v, %v", names, err)
		}
		break
	}
	if state, reason := db.Status(); state != "ok" {
		t.Errorf("status %s %s", state, reason)
	}
}
