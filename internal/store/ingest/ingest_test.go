package ingest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/bench/corpus"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/event/eventtest"
	"github.com/amoskys/amoskys/internal/logsql/row"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/store/enginetest"
	"github.com/amoskys/amoskys/internal/store/keeper"
	"github.com/amoskys/amoskys/internal/store/vlogs"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/stream/streamtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(wholeVariable) != "" && os.Getenv("AMOSKYS_STORE_ENGINE_TEST") == "" {
		runWhole()
		return
	}
	enginetest.Main(m)
}

const publisher = "spiffe://amoskys.local/agent/web-1/proc"

// many is how often a test does something: few times here, more where the variable
// says so.
func many(t *testing.T, variable string, few int) int {
	t.Helper()
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		return n
	}
	return few
}

// logged is a log and what it holds.
type logged struct {
	log    stream.Log
	random *rand.Rand
	now    time.Time // of the next record

	mu     sync.Mutex
	events map[stream.Offset][]byte
	n      int
}

func newLogged(seed uint64) *logged {
	return &logged{
		log: streamtest.NewModel(), random: rand.New(rand.NewPCG(seed, 1)), events: map[stream.Offset][]byte{},
		now: time.Now().Add(-time.Hour).Truncate(time.Second),
	}
}

// appendEvents stores events as one record, and returns the offset of the first.
func (l *logged) appendEvents(t testing.TB, events ...[]byte) stream.Offset {
	t.Helper()
	var payload []byte
	for _, b := range events {
		payload = protowire.AppendBytes(protowire.AppendTag(payload, 3, protowire.BytesType), b)
	}
	r := &stream.Record{Publisher: publisher, Received: l.now, Count: len(events), Payload: [][]byte{payload}}
	first, err := stream.Append(context.Background(), l.log, r)
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, b := range events {
		l.events[first+stream.Offset(i)] = b
	}
	return first
}

// appendMany stores n events of all kinds.
func (l *logged) appendMany(t testing.TB, n int) {
	t.Helper()
	recorded, err := corpus.Recorded()
	if err != nil {
		t.Fatal(err)
	}
	odd := eventtest.Filled()
	for n > 0 {
		size := min(n, 1+l.random.IntN(300))
		n -= size
		l.now = l.now.Add(time.Duration(l.random.IntN(1000)) * time.Millisecond)
		var events [][]byte
		for range size {
			l.n++
			ev := odd[l.random.IntN(len(odd))]
			if l.random.IntN(20) > 0 {
				if ev, err = event.Decode(recorded[l.n%len(recorded)]); err != nil {
					t.Fatal(err)
				}
				ev.Host.Name = "host-" + strconv.Itoa(l.n%7)
			}
			events = append(events, l.encode(t, ev))
		}
		l.appendEvents(t, events...)
	}
}

// appendReal stores n events as they were recorded, in records of 200.
func (l *logged) appendReal(t testing.TB, n int) {
	t.Helper()
	recorded, err := corpus.Recorded()
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < n; i += 200 {
		l.now = l.now.Add(10 * time.Millisecond)
		events := make([][]byte, 0, 200)
		for j := range min(200, n-i) {
			ev, err := event.Decode(recorded[(i+j)%len(recorded)])
			if err != nil {
				t.Fatal(err)
			}
			ev.Host.Name = "host-" + strconv.Itoa(i/200%40)
			events = append(events, l.encode(t, ev))
		}
		l.appendEvents(t, events...)
	}
}

// encode gives an event an id and a time of its own.
func (l *logged) encode(t testing.TB, ev *pb.Event) []byte {
	t.Helper()
	id := make([]byte, event.IDSize)
	for i := range id {
		id[i] = byte(l.random.Uint32())
	}
	ev = proto.Clone(ev).(*pb.Event)
	ev.Id, ev.Time = id, timestamppb.New(l.now.Add(-time.Duration(l.random.IntN(5000))*time.Millisecond))
	b, err := event.Encode(ev)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(b)
}

// running is a store that is fed.
type running struct {
	*Ingest
	keeper *keeper.Keeper
	stop   func()
}

// options are those of tests: all that takes time takes little.
func options(k *keeper.Keeper, source reader.Source, path string) Options {
	return Options{
		Engine: Kept(k), Source: source, Path: path, BatchRows: 500, BatchDelay: 5 * time.Millisecond, QuietDelay: 5 * time.Millisecond, BarrierEvery: 50 * time.Millisecond,
		RetainEvery: time.Hour, fullPause: 10 * time.Millisecond, readPause: 100 * time.Millisecond,
	}
}

// startFeed runs a store at path over a log.
func startFeed(t testing.TB, l *logged, path string, change ...func(*Options)) *running {
	t.Helper()
	k, stopKeeper := enginetest.Run(t, enginetest.Options(t, path))
	o := options(k, &reader.Local{Log: l.log}, path)
	for _, c := range change {
		c(&o)
	}
	in, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ingest ended with %v", err)
		}
		stopKeeper()
	})
	t.Cleanup(stop)
	return &running{in, k, stop}
}

// patience is how long nothing may happen.
const patience = 40 * time.Second

// until waits for something.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	untilOrStuck(t, what, ok, func() uint64 { return 0 })
}

// untilOrStuck waits for something for as long as there is progress.
func untilOrStuck(t testing.TB, what string, ok func() bool, progress func() uint64) {
	t.Helper()
	last, since := progress(), time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		<-tick.C
		if now := progress(); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > patience {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// settled waits until all that the log has is durable.
func (r *running) settled(t testing.TB, l *logged) {
	t.Helper()
	untilOrStuck(t, "all is stored", func() bool {
		p := r.Place()
		toCome := slices.ContainsFunc(r.keeper.State().SetAside, func(a keeper.SetAside) bool { return a.Rebuilt.IsZero() })
		return p.Offset == l.log.Stat().NextOffset && len(p.Rebuilds) == 0 && !toCome
	}, r.Next)
}

// stored reads all rows that hold.
func stored(t testing.TB, c *vlogs.Client, filter string) map[stream.Offset][]*pb.StoredEvent {
	t.Helper()
	all := map[stream.Offset][]*pb.StoredEvent{}
	err := c.Query(context.Background(), vlogs.Query{Text: filter, Patience: time.Minute}, func(fields []vlogs.Field) error {
		ev, err := row.Event(fields)
		if err != nil {
			return fmt.Errorf("%w: %v", err, fields)
		}
		all[ev.GetOffset()] = append(all[ev.GetOffset()], ev)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// same holds what is stored against the log: each event once, and equal.
func (l *logged) same(t testing.TB, got map[stream.Offset][]*pb.StoredEvent) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	missing, twice, others := 0, 0, 0
	for off, encoded := range l.events {
		if _, thinned := event.ThinnedReading(encoded); thinned {
			if len(got[off]) > 0 {
				t.Errorf("event %d is a reading for the metrics alone, and stored", off)
			}
			continue
		}
		switch rows := got[off]; len(rows) {
		case 0:
			missing++
		case 1:
			want, err := event.Decode(encoded)
			if err != nil {
				t.Fatal(err)
			}
			have, err := event.Decode(rows[0].GetEvent())
			if err != nil {
				t.Fatal(err)
			}
			event.Attribute(want, publisher)
			event.Attribute(have, rows[0].GetPublisher())
			if !proto.Equal(want, have) {
				t.Errorf("event %d is stored as\n%v\nwant\n%v", off, have, want)
			}
		default:
			twice++
		}
	}
	for off := range got {
		if l.events[off] == nil {
			others++
		}
	}
	if missing+twice+others > 0 {
		t.Errorf("of %d events %d are missing and %d are there more than once; %d are not the log's", len(l.events), missing, twice, others)
	}
}

func TestEventsAreStoredOnce(t *testing.T) {
	t.Parallel()
	l := newLogged(1)
	path := t.TempDir()
	l.appendMany(t, 3000)
	r := startFeed(t, l, path)
	l.appendMany(t, 2000)
	r.settled(t, l)
	l.same(t, stored(t, r.keeper.Client(), "*"))
	if s := r.Status(); s.GetState() != "ok" || s.GetEvents() != l.kept() || s.GetEvents()+s.GetThinned() != 5000 || s.GetLagEvents() != 0 || s.GetNextOffset() != l.log.Stat().NextOffset || len(s.GetDays()) == 0 {
		t.Errorf("status %v", s)
	}
	r.stop()
	l.appendMany(t, 500)
	r = startFeed(t, l, path)
	r.settled(t, l)
	l.same(t, stored(t, r.keeper.Client(), "*"))
	if cursors := l.log.ListCursors(); len(cursors) != 1 || cursors[0].Name != "store" || cursors[0].Hold {
		t.Errorf("cursors %+v", cursors)
	}
}

// TestStatusCountsWhatCanBeFound: what the engine was given counts as stored, however far
// away the next barrier is, as it does for the lag.
func TestStatusCountsWhatCanBeFound(t *testing.T) {
	t.Parallel()
	l := newLogged(7)
	r := startFeed(t, l, t.TempDir(), func(o *Options) { o.BarrierEvery = time.Hour })
	l.appendMany(t, 700)
	until(t, "the engine has them", func() bool { return r.Status().GetLagEvents() == 0 })
	if s := r.Status(); s.GetEvents() != l.kept() || s.GetThinned() != 700-l.kept() || len(s.GetDays()) == 0 || s.GetOldestTime() == nil {
		t.Errorf("status %v", s)
	}
}

// TestTheLastBatchIsMadeDurableAtTheEnd: a stop in order leaves nothing to be read again.
func TestTheLastBatchIsMadeDurableAtTheEnd(t *testing.T) {
	t.Parallel()
	l := newLogged(2)
	path := t.TempDir()
	l.appendMany(t, 1000)
	r := startFeed(t, l, path, func(o *Options) { o.BarrierEvery = time.Hour })
	until(t, "all was taken", func() bool { return r.Next() == l.log.Stat().NextOffset })
	r.stop()
	if p := r.Place(); p.Offset != l.log.Stat().NextOffset {
		t.Errorf("the place is %d of %d", p.Offset, l.log.Stat().NextOffset)
	}
	r = startFeed(t, l, path)
	l.same(t, stored(t, r.keeper.Client(), "*"))
}

// TestKillsOfTheEngine: whenever the engine is killed, each event is there once.
func TestKillsOfTheEngine(t *testing.T) {
	t.Parallel()
	kills := many(t, "AMOSKYS_TEST_ENGINE_KILLS", 4)
	l, path := newLogged(3), t.TempDir()
	r := startFeed(t, l, path)
	for i := range kills {
		l.appendMany(t, 500+l.random.IntN(3000))
		if err := wait(t.Context(), time.Duration(l.random.IntN(300))*time.Millisecond); err != nil { // a moment at random is what is tested
			t.Fatal(err)
		}
		s, err := r.keeper.Wait(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if l.random.IntN(3) == 0 {
			r.settled(t, l) // an idle one
		}
		if p, err := os.FindProcess(s.PID); err == nil {
			_ = p.Kill()
		}
		if _, err := r.keeper.Wait(t.Context(), s.Starts); err != nil {
			t.Fatal(err)
		}
		if i%5 == 4 { // and the keeper's pauses begin anew
			r.settled(t, l)
			l.same(t, stored(t, r.keeper.Client(), "*"))
			t.Logf("%d kills, %d events, each once", i+1, len(l.events))
			r.stop()
			r = startFeed(t, l, path)
		}
	}
	r.settled(t, l)
	l.same(t, stored(t, r.keeper.Client(), "*"))
	t.Logf("%d kills, %d events", kills, len(l.events))
}

// TestStreamsThatBreak: what is read again when the hub goes away is not stored again.
func TestStreamsThatBreak(t *testing.T) {
	t.Parallel()
	l := newLogged(4)
	source := &breaking{Source: &reader.Local{Log: l.log}, every: 3}
	l.appendMany(t, 5000)
	r := startFeed(t, l, t.TempDir(), func(o *Options) { o.Source, o.BarrierEvery = source, time.Second })
	r.settled(t, l)
	l.same(t, stored(t, r.keeper.Client(), "*"))
}

// breaking is a source whose feeds break after a few batches.
type breaking struct {
	reader.Source
	every int
}

func (b *breaking) Open(ctx context.Context, r reader.Request) (reader.Feed, stream.Offset, error) {
	f, from, err := b.Source.Open(ctx, r)
	return &breakingFeed{f, b.every}, from, err
}

type breakingFeed struct {
	reader.Feed
	left int
}

func (f *breakingFeed) Next(ctx context.Context) (*reader.Batch, error) {
	if f.left--; f.left < 0 {
		return nil, errors.New("the connection broke")
	}
	return f.Feed.Next(ctx)
}

// TestALogThatWasReplaced: the old days stay, the new log is stored beside them.
func TestALogThatWasReplaced(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: it waits for engines that begin anew")
	}
	t.Parallel()
	for name, n := range map[string]int{"by a shorter one": 100, "by a longer one": 4000, "by an empty one": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := newLogged(5)
			path := t.TempDir()
			old.appendMany(t, 2000)
			r := startFeed(t, old, path)
			r.settled(t, old)
			r.stop()
			l := newLogged(6)
			l.appendMany(t, n)
			r = startFeed(t, l, path)
			if n == 0 {
				l.appendMany(t, 10) // an empty log is like one that is not there yet
			}
			until(t, "the store sees that the log is another", func() bool { return r.Place().Log == 1 })
			l.appendMany(t, 500)
			r.settled(t, l)
			killEngine(t, r)
			l.appendMany(t, 500)
			r.settled(t, l)
			old.same(t, stored(t, r.keeper.Client(), `log:""`))
			l.same(t, stored(t, r.keeper.Client(), `log:=1`))
			r.stop()
			r = startFeed(t, l, path)
			l.appendMany(t, 10)
			r.settled(t, l)
			if p := r.Place(); p.Log != 1 {
				t.Errorf("place %+v", p)
			}
			if n == 0 {
				return
			}
			// Without its place the store keeps both logs apart still.
			r.stop()
			if err := os.WriteFile(filepath.Join(path, PlaceFile), []byte("0\n{}"), 0o600); err != nil {
				t.Fatal(err)
			}
			r = startFeed(t, l, path)
			l.appendMany(t, 10)
			r.settled(t, l)
			old.same(t, stored(t, r.keeper.Client(), `log:""`))
			l.same(t, stored(t, r.keeper.Client(), `log:=1`))
		})
	}
}

func killEngine(t *testing.T, r *running) {
	t.Helper()
	s := r.keeper.State()
	p, err := os.FindProcess(s.PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.keeper.Wait(t.Context(), s.Starts); err != nil {
		t.Fatal(err)
	}
}

// storedAgain opens a store that was stopped and reads it.
func storedAgain(t *testing.T, l *logged, r *running) map[stream.Offset][]*pb.StoredEvent {
	t.Helper()
	r = startFeed(t, l, r.o.Path)
	r.settled(t, l)
	return stored(t, r.keeper.Client(), "*")
}

func encode(ev *pb.Event) ([]byte, error) { return event.Encode(ev) }
