package cluster_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/store/vlogs"
	"github.com/amoskys/amoskys/internal/stream"
)

// restoredBehind is a hub's log as a backup has it that ends behind so many records; it goes
// on with other events, at the offsets that the log itself went on with.
func (l *logged) restoredBehind(t *testing.T, records int) *logged {
	t.Helper()
	r := newLogged()
	r.random.Uint64()
	feed, err := l.log.NewReader(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	for range records {
		e, err := feed.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		off, err := stream.Append(t.Context(), r.log, &stream.Record{
			Publisher: e.Publisher, Received: e.Received, Count: e.Count, Payload: [][]byte{slices.Clone(e.Payload)}, Codec: e.Codec,
		})
		if err != nil || off != e.First {
			t.Fatalf("the record at %d is at %d: %v", e.First, off, err)
		}
		for i := range uint64(e.Count) {
			if l.kept[off+i] {
				r.kept[off+i] = true
			}
		}
		r.n += e.Count
		e.Release()
	}
	r.now = l.now.Add(time.Minute)
	return r
}

// offsets are how many rows each has.
func (f *fed) offsets(t *testing.T) map[uint64]int {
	t.Helper()
	got := map[uint64]int{}
	err := f.Client().Query(context.Background(), vlogs.Query{Text: "* | fields offset", Patience: time.Minute}, func(row []vlogs.Field) error {
		var off uint64
		if _, err := fmt.Sscan(row[0].Value, &off); err != nil {
			return err
		}
		got[off]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestAHubRestoredOverALivingCluster: a hub comes back from a backup that is older than what
// the cluster has. What both have is there once, what the backup lacks stays, and what comes
// then is stored beside it. When the cluster then loses its disk, it is filled from the log.
func TestAHubRestoredOverALivingCluster(t *testing.T) {
	if os.Getenv(allVariable) != "all" {
		t.Skip("a server of VictoriaLogs for some seconds: set " + allVariable + "=all for it")
	}
	t.Parallel()
	l := newLogged()
	l.add(t, 1000)
	s := startServers(t, "a", 1)
	s.folder = t.TempDir() // of a store that lives on
	const lasts = time.Minute
	first := startRole(t, l, "one", lasts, s)
	first.fed[0].settled(t, l)
	first.stop()

	again := l.restoredBehind(t, 6)
	at := again.log.Stat().NextOffset
	again.add(t, 700) // more than was lost: the log's end alone tells nothing
	second := startRole(t, again, "one", lasts, s)
	f := second.fed[0]
	f.settled(t, again)
	got := f.offsets(t)
	want := map[uint64]int{}
	for off := range l.kept {
		want[off]++
	}
	both := 0
	for off := range again.kept {
		if off >= at {
			if want[off]++; want[off] == 2 {
				both++
			}
		}
	}
	if both == 0 {
		t.Fatal("no offset is of two events: the test tests nothing")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("how often events are there (-want +got):\n%.2000s", diff)
	}

	s.nodes[0].Kill()
	if err := os.RemoveAll(filepath.Join(s.nodes[0].Path, "partitions")); err != nil {
		t.Fatal(err)
	}
	s.nodes[0].Start()
	until(t, "the cluster is filled again", func() bool { return f.rows() == len(again.kept) && !f.Filling() })
	f.settled(t, again)
	again.exact(t, f, "filled again")
}
