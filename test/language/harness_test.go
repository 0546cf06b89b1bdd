package language

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/logsql"
	"github.com/amoskys/amoskys/internal/logsql/row"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/enginetest"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// publisher sent all events.
const publisher = "spiffe://amoskys.local/agent/web-1/proc"

// world is the same events in an engine and in memory.
type world struct {
	client *vlogs.Client
	events [][]byte // by offset
	logged time.Time
}

// begin is the time of the first event: yesterday at noon, since an engine keeps no
// old ones.
func begin() time.Time { return time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour) }

// newWorld stores events, which get ids and, where they have none, times a second apart.
func newWorld(tb testing.TB, events []*pb.Event) *world {
	tb.Helper()
	w := &world{client: enginetest.Start(tb).Client(), logged: begin()}
	writer := row.NewWriter(row.Bounds{Past: 30 * 24 * time.Hour, Future: 24 * time.Hour})
	var rows vlogs.Rows
	for i, ev := range events {
		if ev.GetTime() == nil {
			ev.Time = timestamppb.New(begin().Add(time.Duration(i) * time.Second))
		}
		if ev.GetId() == nil {
			ev.Id = []byte("0123456789abcd" + string([]byte{byte('0' + i/10), byte('0' + i%10)}))
		}
		encoded, err := event.Encode(ev)
		if err != nil {
			tb.Fatal(err)
		}
		w.events = append(w.events, encoded)
		r, err := writer.Row(encoded, publisher, uint64(i), w.logged)
		if err != nil {
			tb.Fatal(err)
		}
		tags := make([]vlogs.Field, 0, len(r.Stream))
		for _, f := range r.Stream {
			tags = append(tags, vlogs.Field{Name: f.Name, Value: string(f.Value)})
		}
		rows.Begin(tags, r.Time)
		for _, f := range r.Fields {
			rows.Field(f.Name, f.Value)
		}
	}
	if err := w.client.Insert(tb.Context(), &rows); err != nil {
		tb.Fatal(err)
	}
	if err := w.client.Barrier(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return w
}

// stored are the offsets that the engine finds.
func (w *world) stored(tb testing.TB, q *logsql.Query) []int {
	tb.Helper()
	found := []int{}
	err := w.client.Query(tb.Context(), vlogs.Query{Text: q.Engine() + " | fields offset"}, func(row []vlogs.Field) error {
		for _, f := range row {
			if n, err := strconv.Atoi(f.Value); err == nil && f.Name == "offset" {
				found = append(found, n)
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatalf("%s: %v", q, err)
	}
	slices.Sort(found)
	return found
}

// live are the offsets of events that match as they come.
func (w *world) live(tb testing.TB, q *logsql.Query) []int {
	tb.Helper()
	m, err := q.Matcher()
	if err != nil {
		tb.Fatalf("%s: %v", q, err)
	}
	found := []int{}
	for i, encoded := range w.events {
		if m.Match(encoded, publisher, uint64(i), w.logged) {
			found = append(found, i)
		}
	}
	return found
}

// both is what a query finds, stored and live.
func (w *world) both(tb testing.TB, text string) []int {
	tb.Helper()
	q, err := logsql.Parse(text)
	if err != nil {
		tb.Errorf("%s: %v", text, err)
		return nil
	}
	stored, live := w.stored(tb, q), w.live(tb, q)
	if !slices.Equal(stored, live) {
		tb.Errorf("%s\nstored %v\nlive   %v\nasked  %.400s", text, stored, live, q.Engine())
	}
	return stored
}

// rows are the rows of a query with pipes, each its values joined by blanks in the
// order of names.
func (w *world) rows(tb testing.TB, text string, names ...string) []string {
	tb.Helper()
	q, err := logsql.Parse(text)
	if err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
	found := []string{}
	err = w.client.Query(tb.Context(), vlogs.Query{Text: q.Engine()}, func(row []vlogs.Field) error {
		values := make([]string, len(names))
		for _, f := range row {
			if i := slices.Index(names, f.Name); i >= 0 {
				values[i] = f.Value
			}
		}
		found = append(found, strings.Join(values, " "))
		return nil
	})
	if err != nil {
		tb.Fatalf("%s: %v\nasked %s", text, err, q.Engine())
	}
	return found
}
