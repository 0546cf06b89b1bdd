package cluster_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/bench/corpus"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/store/answers"
	"github.com/amoskys/amoskys/internal/store/cluster"
	"github.com/amoskys/amoskys/internal/store/enginetest"
	"github.com/amoskys/amoskys/internal/store/ingest"
	"github.com/amoskys/amoskys/internal/store/pick"
	"github.com/amoskys/amoskys/internal/store/vlogs"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/stream/streamtest"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// logged is a log with what is to be stored of it.
type logged struct {
	log    stream.Log
	random *rand.Rand
	now    time.Time

	mu   sync.Mutex
	kept map[uint64]bool // offsets of events that a store keeps
	n    int
}

func newLogged() *logged {
	return &logged{
		log: streamtest.NewModel(), random: rand.New(rand.NewPCG(7, 1)), kept: map[uint64]bool{},
		now: time.Now().Add(-time.Hour).Truncate(time.Second),
	}
}

// add appends n recorded events of seven hosts, in records of 100.
func (l *logged) add(t testing.TB, n int) {
	t.Helper()
	recorded, err := corpus.Recorded()
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; n > 0; n -= 100 {
		var payload []byte
		thinned := make([]bool, 0, 100)
		for range min(n, 100) {
			l.n++
			l.now = l.now.Add(time.Millisecond)
			ev, err := event.Decode(recorded[l.n%len(recorded)])
			if err != nil {
				t.Fatal(err)
			}
			id := make([]byte, event.IDSize)
			for i := range id {
				id[i] = byte(l.random.Uint32())
			}
			ev.Id, ev.Time, ev.Host.Name = id, timestamppb.New(l.now), "host-"+strconv.Itoa(l.n%7)
			b, err := event.Encode(ev)
			if err != nil {
				t.Fatal(err)
			}
			_, left := event.ThinnedReading(b)
			thinned = append(thinned, left)
			payload = protowire.AppendBytes(protowire.AppendTag(payload, 3, protowire.BytesType), b)
		}
		r := &stream.Record{Publisher: "spiffe://amoskys.local/agent/web-1/proc", Received: l.now, Count: len(thinned), Payload: [][]byte{payload}}
		first, err := stream.Append(t.Context(), l.log, r)
		if err != nil {
			t.Fatal(err)
		}
		for i, left := range thinned {
			if !left {
				l.kept[first+uint64(i)] = true
			}
		}
	}
}

// servers are a cluster's.
type servers struct {
	name  string
	nodes []*enginetest.Server
	query *enginetest.Server
	// front is where the first node is reached, where that is not its own address.
	front string
	// folder is where the store keeps its place, where that is to outlive it.
	folder string
}

// startServers starts those of a cluster of n nodes. A single one is asked itself.
func startServers(t *testing.T, name string, n int) *servers {
	t.Helper()
	s := &servers{name: name}
	for range n {
		s.nodes = append(s.nodes, enginetest.StorageNode(t))
	}
	if s.query = s.nodes[0]; n > 1 {
		s.query = enginetest.Select(t, s.nodes)
	}
	return s
}

func (s *servers) options() cluster.Options {
	const timeout = 20 * time.Second
	o := cluster.Options{
		Name: s.name, Select: vlogs.Options{Address: s.query.URL, Timeout: timeout}, LookEvery: 100 * time.Millisecond, Keeps: 30 * 24 * time.Hour,
	}
	for _, n := range s.nodes {
		o.Nodes = append(o.Nodes, vlogs.Options{Address: n.URL, Timeout: timeout})
	}
	if s.front != "" {
		o.Nodes[0].Address = s.front
	}
	return o
}

// fed is a cluster that a store feeds and asks.
type fed struct {
	*cluster.Cluster
	*ingest.Ingest
	source pick.Source
}

// role is a store on several clusters.
type role struct {
	fed     []*fed
	service *pick.Service
	stop    func()
}

// startRole runs a store of a name over clusters, whose turn lasts so long.
func startRole(t *testing.T, l *logged, owner string, lasts time.Duration, all ...*servers) *role {
	t.Helper()
	r := &role{}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	r.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(r.stop)
	var sources []pick.Source
	logger := slog.New(slog.DiscardHandler)
	if os.Getenv("AMOSKYS_STORE_ENGINE_LOG") != "" {
		logger = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("store", owner)
	}
	for _, s := range all {
		o := s.options()
		o.Logger = logger
		c, err := cluster.New(o)
		if err != nil {
			t.Fatal(err)
		}
		turn := c.Turn()
		in, err := ingest.New(ingest.Options{
			Engine: c.Engine(), Source: &reader.Local{Log: l.log}, Path: filepath.Join(cmp.Or(s.folder, t.TempDir()), s.name), Cursor: "store-" + s.name,
			BatchRows: 500, BatchDelay: 5 * time.Millisecond, QuietDelay: 5 * time.Millisecond, BarrierEvery: time.Second, RetainEvery: time.Hour,
			Refill: true, Free: c.Free, AtOnce: 2, Logger: logger.With("cluster", s.name),
			Turn: ingest.TurnOptions{Turn: turn, Owner: owner, Lasts: lasts, Settles: 100 * time.Millisecond, Every: 50 * time.Millisecond},
		})
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() { _ = c.Run(ctx) })
		running.Go(func() {
			defer turn.Close()
			if err := in.Run(ctx); err != nil {
				t.Errorf("feeding cluster %s ended with %v", s.name, err)
			}
		})
		f := &fed{Cluster: c, Ingest: in}
		f.source = pick.Source{
			Name: s.name,
			Query: answers.New(answers.Options{
				Engine: c.Client(), Status: in.Status, Next: in.Inserted, Offer: in.Offer, Log: in.Log, Lacks: in.Lacks, Away: c.Away, Limits: answers.Limits{StatusAge: 1},
			}),
			Standing: func() pick.Standing {
				return pick.Standing{Away: c.Away() != "", Partial: c.Absent() != "", Filling: in.Filling(), Lost: in.Lost(), Log: in.Log(), Next: in.Inserted(), Oldest: in.Oldest()}
			},
		}
		r.fed, sources = append(r.fed, f), append(sources, f.source)
	}
	r.service = pick.New(func() *pb.StatusResponse { return &pb.StatusResponse{} }, sources...)
	return r
}

// until waits for something.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(2 * time.Minute) // of a machine that has much else to do
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if <-tick.C; time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// settled waits until a cluster has all that the log has, durably.
func (f *fed) settled(t testing.TB, l *logged) {
	t.Helper()
	until(t, "cluster "+f.Name()+" has all", func() bool {
		p := f.Place()
		return p.Offset == l.log.Stat().NextOffset && p.Refill == nil && f.Cluster.State().Running
	})
}

// rows counts them; -1 while nobody answers.
func (f *fed) rows() int {
	n := -1
	_ = f.Client().Query(context.Background(), vlogs.Query{Text: "* | stats count() n"}, func(row []vlogs.Field) error {
		_, err := fmt.Sscan(row[0].Value, &n)
		return err
	})
	return n
}

// exact holds a cluster against the log: each event that is to be there is, once.
func (l *logged) exact(t testing.TB, f *fed, when string) {
	t.Helper()
	got := map[uint64]int{}
	err := f.Client().Query(context.Background(), vlogs.Query{Text: "* | fields offset", Patience: time.Minute}, func(row []vlogs.Field) error {
		var off uint64
		if _, err := fmt.Sscan(row[0].Value, &off); err != nil {
			return fmt.Errorf("row %v: %w", row, err)
		}
		got[off]++
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	missing, twice, others := 0, 0, 0
	for off := range l.kept {
		switch got[off] {
		case 0:
			missing++
		case 1:
		default:
			twice++
		}
	}
	for off := range got {
		if !l.kept[off] {
			others++
		}
	}
	if missing+twice+others > 0 {
		t.Errorf("%s: cluster %s lacks %d of %d events, has %d twice and %d others", when, f.Name(), missing, len(l.kept), twice, others)
	}
}

// answersOf asks some questions about the log's first hour, which nothing is added to.
func answersOf(t testing.TB, s *pick.Service, since, until time.Time, when string) []string {
	t.Helper()
	var all []string
	note := func(what string, lacks []*pb.Lack, answer any) {
		for _, lack := range lacks {
			if lack.GetPlace() == "store" && lack.GetSince() == nil && lack.GetCount() == 0 {
				t.Errorf("%s: %s lacks %v", when, what, lack)
			}
		}
		all = append(all, fmt.Sprintf("%s: %v", what, answer))
	}
	for _, query := range []string{"", "type:process.start", "host:host-3", "process.name:*"} {
		r, err := s.SearchEvents(context.Background(), &pb.SearchEventsRequest{
			Filter: &pb.Filter{Query: query}, Since: timestamppb.New(since), Until: timestamppb.New(until), Limit: 50, Facets: []string{"type"}, HistogramBuckets: 4,
		})
		if err != nil {
			t.Errorf("%s: search %q: %v", when, query, err)
			continue
		}
		var offsets []uint64
		for _, ev := range r.GetEvents() {
			offsets = append(offsets, ev.GetOffset())
		}
		facets := map[string]uint64{}
		for _, f := range r.GetFacets() {
			for _, v := range f.GetValues() {
				facets[v.GetValue()] = v.GetCount()
			}
		}
		note(query, r.GetLacks(), fmt.Sprint(offsets, r.GetTotal(), facets))
	}
	return all
}

// TestNodeEnds: a storage node of one of two clusters is killed while events come. The
// same questions have the same answers meanwhile and afterwards, and each event is in
// each cluster once.
func TestNodeEnds(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: four servers of VictoriaLogs")
	}
	t.Parallel()
	l := newLogged()
	l.add(t, 1000)
	since, end := l.now.Add(-time.Hour), l.now
	a, b := startServers(t, "a", 2), startServers(t, "b", 1)
	store := startRole(t, l, "one", time.Minute, a, b)
	for _, f := range store.fed {
		f.settled(t, l)
	}
	want := answersOf(t, store.service, since, end, "at first")
	same := func(when string) {
		t.Helper()
		if got := answersOf(t, store.service, since, end, when); !slices.Equal(got, want) {
			t.Errorf("%s: answers differ:\n%q\nwant\n%q", when, got, want)
		}
	}
	l.add(t, 1000)
	a.nodes[1].Kill()
	same("a node of a killed")
	l.add(t, 1000)
	until(t, "the store knows", func() bool { return !store.fed[0].Cluster.State().Running })
	same("a node of a away")
	if got := store.service.Order()[0].Name; got != "b" {
		t.Errorf("cluster %s answers", got)
	}
	a.nodes[1].Start()
	for _, f := range store.fed {
		f.settled(t, l)
		l.exact(t, f, "at the end")
	}
	same("at the end")
}

// allVariable has TestTwoClusters run.
const allVariable = "AMOSKYS_TEST_CLUSTERS"

// TestTwoClusters: two clusters of two storage nodes and two stores on them, all of it
// VictoriaLogs' own server. A node is killed under load, the store that writes is stopped,
// a node loses its disk: the same questions have the same answers, and at the end each
// event is in each cluster once.
func TestTwoClusters(t *testing.T) {
	if os.Getenv(allVariable) != "all" {
		t.Skip("six servers of VictoriaLogs for most of a minute; TestNodeEnds is the short one: set " + allVariable + "=all for it")
	}
	l := newLogged()
	l.add(t, 3000)
	since, end := l.now.Add(-time.Hour), l.now
	a, b := startServers(t, "a", 2), startServers(t, "b", 2)
	const lasts = 10 * time.Second
	first := startRole(t, l, "first", lasts, a, b)
	for _, f := range first.fed {
		f.settled(t, l)
	}
	want := answersOf(t, first.service, since, end, "at first")
	same := func(s *pick.Service, when string) {
		t.Helper()
		if got := answersOf(t, s, since, end, when); !slices.Equal(got, want) {
			t.Errorf("%s: answers differ:\n%q\nwant\n%q", when, got, want)
		}
	}
	second := startRole(t, l, "second", lasts, a, b)
	for _, f := range second.fed {
		until(t, "the second store stands by", func() bool {
			owner, ours := f.Writer()
			return owner == "first" && !ours && f.Place().Offset == l.log.Stat().NextOffset
		})
	}
	same(second.service, "of the store that stands by")

	// A storage node is killed under load.
	load, endLoad := context.WithCancel(context.Background())
	var loading sync.WaitGroup
	loading.Go(func() {
		for load.Err() == nil {
			l.add(t, 100) //nolint:contextcheck // it is of the test, not of the load
			wait(load, 20*time.Millisecond)
		}
	})
	defer loading.Wait()
	defer endLoad()
	a.nodes[1].Kill()
	same(first.service, "a node of a killed")
	until(t, "the first store knows", func() bool { return !first.fed[0].Cluster.State().Running })
	same(first.service, "a node of a away")
	if got := first.service.Order()[0].Name; got != "b" {
		t.Errorf("cluster %s answers", got)
	}
	a.nodes[1].Start()
	until(t, "cluster a is whole", func() bool { return first.fed[0].Cluster.State().Running })

	// The store that writes is stopped.
	first.stop()
	same(second.service, "the first store stopped")
	for _, f := range second.fed {
		until(t, "the second store writes", func() bool { _, ours := f.Writer(); return ours })
	}
	endLoad()
	loading.Wait()
	for _, f := range second.fed {
		f.settled(t, l)
		l.exact(t, f, "at the end of the load")
	}

	// A node loses its disk.
	b.nodes[0].Kill()
	lost := "by its disk"
	if err := os.RemoveAll(filepath.Join(b.nodes[0].Path, "partitions")); err != nil {
		t.Fatal(err)
	}
	b.nodes[0].Start()
	until(t, "what was lost is there again", func() bool { return second.fed[1].rows() == len(l.kept) && !second.fed[1].Filling() })
	same(second.service, lost)
	for _, f := range second.fed {
		f.settled(t, l)
		l.exact(t, f, lost)
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
