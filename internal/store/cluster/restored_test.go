package cluster_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/amoskys/amoskys/internal/store/vlogs"
	"github.com/amoskys/amoskys/internal/stream"
)

// restoredAt is a hub's log as a backup has it that ends at an offset; it goes on with other
// events.
func (l *logged) restoredAt(t *testing.T, at uint64) *logged {
	t.Helper()
	r := newLogged()
	r.random.Uint64()
	feed, err := l.log.NewReader(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	for r.log.Stat().NextOffset < at {
		e, err := feed.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, encoded := range e.Events() {
			payload := protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), encoded)
			record := &stream.Record{Publisher: e.Publisher, Received: e.Received, Count: 1, Payload: [][]byte{payload}}
			off, err := stream.Append(t.Context(), r.log, record)
			if err != nil {
				t.Fatal(err)
			}
			if l.kept[off] {
				r.kept[off] = true
			}
			r.n++
			if off+1 == at {
				break
			}
		}
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

	const at = 613
	again := l.restoredAt(t, at)
	again.add(t, 700) // more than was lost: the log's end alone tells nothing
	second := startRole(t, again, "one", lasts, s)
	f := second.fed[0]
	f.settled(t, again)
	got := f.offsets(t)
	for off := range uint64(1400) {
		want := 0
		if l.kept[off] {
			want++
		}
		if off >= at && again.kept[off] {
			want++
		}
		if got[off] != want {
			t.Fatalf("event %d is there %d times, wanted %d", off, got[off], want)
		}
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
