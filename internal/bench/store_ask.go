package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/answers"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// storeQuestion is what is asked; back is how far back in time, 0 for everything.
type storeQuestion struct {
	name, text string
	back       time.Duration
	limit      int
	// facets are fields whose most frequent values a page shows beside its events; of the
	// engine they are asked one by one.
	facets []string
	// id asks for one event by its id, offset by its place in the log.
	id, offset bool
}

// storeQuestions are what people ask, in the engine's words.
func storeQuestions() []storeQuestion {
	return []storeQuestion{
		{name: "last 100 of an agent, ten minutes", text: `host:="host-00007" agent:="proc_agent"`, back: 10 * time.Minute, limit: 100},
		{name: "last 100 of an agent, an hour", text: `host:="host-00007" agent:="proc_agent"`, back: time.Hour, limit: 100},
		{name: "rare word in a field", text: `process.command_line:qzxvwk`},
		{name: "rare word in any field", text: `*:qzxvwk`},
		{name: "count by minute and type, a day", text: `* | stats by (_time:1m, type) count() n`, back: 24 * time.Hour},
		{name: "count by hour and type", text: `* | stats by (_time:1h, type) count() n`},
		{name: "top 10 of process.name", text: `* | top 10 by (process.name)`},
		{name: "top 10 of host", text: `* | top 10 by (host)`},
		{name: "count of all", text: `* | count()`},
		{name: "live window of 15 s", text: `*`, back: 15 * time.Second, limit: 1000},
		{name: "facets of five fields, ten minutes", text: `*`, back: 10 * time.Minute, facets: []string{"host", "type", "agent", "process.name", "severity"}},
		{name: "event by its id", id: true, limit: 1},
		{name: "event by its place in the log", offset: true, limit: 1},
	}
}

// storeAsker asks the engine, and the store for the same.
type storeAsker struct {
	engine *vlogs.Client
	store  pb.QueryClient
	end    time.Time
}

// ask measures each question, of the engine and of the store in turn.
func (o *StoreOptions) ask(ctx context.Context, engine *vlogs.Client) (out []StoreQuestion, err error) {
	conn, stop, err := o.serve(ctx, engine)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	a := &storeAsker{engine: engine, store: pb.NewQueryClient(conn), end: time.Now()}
	for _, q := range storeQuestions() {
		o.tell("ask: %s", q.name)
		if err := a.choose(ctx, &q); err != nil {
			return nil, err
		}
		one := StoreQuestion{Name: q.name, Query: q.text}
		var engine, store []float64
		for range o.Asks {
			rows, took, err := timed(func() (int, error) { return a.askEngine(ctx, &q) })
			var again int
			var more float64
			if err == nil {
				again, more, err = timed(func() (int, error) { return a.askStore(ctx, &q) })
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err == nil && rows != again {
				err = fmt.Errorf("the engine has %d rows, the store %d", rows, again)
			}
			if err != nil {
				one.Failed = err.Error()
				break
			}
			one.Rows = rows
			engine, store = append(engine, took), append(store, more)
		}
		one.EngineP50Ms, one.EngineP95Ms = middle(engine)
		one.P50Ms, one.P95Ms = middle(store)
		out = append(out, one)
	}
	return out, nil
}

// serve answers as the store does, over gRPC on this machine.
func (o *StoreOptions) serve(ctx context.Context, engine *vlogs.Client) (*grpc.ClientConn, func() error, error) {
	status := &pb.StoreStatus{State: "ok", Events: uint64(o.Events), NextOffset: uint64(o.Events)}
	service := answers.New(answers.Options{Engine: engine, Status: func() *pb.StoreStatus { return status }})
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	server := grpc.NewServer()
	pb.RegisterQueryServer(server, service)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	stop := func() error { server.Stop(); return <-done }
	conn, err := grpc.NewClient("passthrough:///"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return conn, func() error { return errors.Join(conn.Close(), stop()) }, nil
}

func timed(ask func() (int, error)) (rows int, ms float64, err error) {
	began := time.Now()
	rows, err = ask()
	return rows, float64(time.Since(began).Microseconds()) / 1000, err
}

func middle(took []float64) (p50, p95 float64) {
	if len(took) == 0 {
		return 0, 0
	}
	slices.Sort(took)
	return took[len(took)/2], took[min(len(took)-1, len(took)*95/100)]
}

func (a *storeAsker) since(q *storeQuestion) time.Time {
	if q.back == 0 {
		return time.Time{}
	}
	return a.end.Add(-q.back)
}

// theOne is the place in the log of the event that is asked for alone.
const theOne = 777

// choose writes the text of a question about one event.
func (a *storeAsker) choose(ctx context.Context, q *storeQuestion) error {
	at := fmt.Sprintf(`"offset":=%d`, theOne)
	if q.offset {
		q.text = at
	}
	if !q.id {
		return nil
	}
	//nolint:wrapcheck // it says what failed
	return a.engine.Query(ctx, vlogs.Query{Text: at + " | fields id"}, func(row []vlogs.Field) error {
		for _, f := range row {
			q.text = fmt.Sprintf("id:=%q", f.Value)
		}
		return nil
	})
}

func (a *storeAsker) askEngine(ctx context.Context, q *storeQuestion) (rows int, err error) {
	if len(q.facets) > 0 {
		for _, name := range q.facets {
			one := storeQuestion{text: fmt.Sprintf("%s | top 10 by (%s)", q.text, name), back: q.back}
			values, err := a.askEngine(ctx, &one)
			if err != nil {
				return 0, err
			}
			rows += min(values, 1)
		}
		return rows, nil
	}
	ask := vlogs.Query{Text: q.text, Start: a.since(q), End: a.end, Limit: q.limit}
	err = a.engine.Query(ctx, ask, func([]vlogs.Field) error { rows++; return nil })
	if q.limit > 0 && errors.Is(err, vlogs.ErrLimit) {
		err = nil
	}
	return rows, err //nolint:wrapcheck // it says what failed
}

func (a *storeAsker) askStore(ctx context.Context, q *storeQuestion) (rows int, err error) {
	var since *timestamppb.Timestamp
	if q.back > 0 {
		since = timestamppb.New(a.since(q))
	}
	switch {
	case q.offset:
		found, err := a.store.Event(ctx, &pb.EventRequest{Offset: theOne})
		return min(len(found.GetEvent().GetEvent()), 1), err //nolint:wrapcheck // it says what failed
	case len(q.facets) > 0:
		found, err := a.store.SearchEvents(ctx, &pb.SearchEventsRequest{
			Filter: &pb.Filter{Query: q.text}, Since: since, Until: timestamppb.New(a.end), Limit: 1, NoTotal: true, Facets: q.facets,
		})
		for _, f := range found.GetFacets() {
			rows += min(len(f.GetValues()), 1)
		}
		return rows, err //nolint:wrapcheck // it says what failed
	case q.limit > 0:
		found, err := a.store.SearchEvents(ctx, &pb.SearchEventsRequest{
			Filter: &pb.Filter{Query: q.text}, Since: since, Until: timestamppb.New(a.end), Limit: uint32(q.limit), NoTotal: true,
		})
		return len(found.GetEvents()), err //nolint:wrapcheck // it says what failed
	}
	stream, err := a.store.Rows(ctx, &pb.RowsRequest{Query: q.text, Since: since, Until: timestamppb.New(a.end), Limit: 100_000})
	for err == nil {
		var some *pb.RowsResponse
		if some, err = stream.Recv(); err == nil {
			rows += len(some.GetRows())
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return rows, err //nolint:wrapcheck // it says what failed
}
