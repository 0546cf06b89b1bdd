// Package ask is what `amoskys query` does: it asks a store, prints what it answers as
// a table for people or as lines for programs, and says on standard error what the
// answer lacks.
package ask

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/logsql"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Options are the arguments of `amoskys query`.
type Options struct {
	Query  string // LogsQL
	Since  string // how long ago, or a time; "all" is no bound
	Until  string // likewise; empty is now
	Limit  uint64 // of events or rows; 0 for all
	Oldest bool   // first
	Count  bool   // print only how many there are
	Format string // one of Formats
	Fields []string
	Store  string // host:port; empty: that of the configuration
	// Saved names a saved query in the place of Query; what it has of a range and of
	// fields counts where none was typed.
	Saved                  string
	TypedSince, TypedUntil bool
}

// Formats lists what Options.Format can be.
func Formats() []string { return []string{"text", "json", "jsonl", "csv", "ecs", "ocsf", "parquet"} }

// pageSize is how many events are asked for at once.
const pageSize = 1_000

// asker is one run.
type asker struct {
	o            Options
	e            *cli.Env
	store        *remote.Store
	since, until *timestamppb.Timestamp
	progress     *cli.Progress
	lacks        []*pb.Lack
	thinned      bool
	shown        uint64
	more         bool // match than were asked for
}

// Run answers one question. Its error is a *cli.UsageError where the question is wrong.
func Run(ctx context.Context, e *cli.Env, o Options) error {
	if o.Saved != "" {
		if err := o.open(ctx, e); err != nil {
			return err
		}
	}
	a := &asker{o: o, e: e, progress: cli.NewProgress(e.Stderr, e.Now)}
	q, err := a.check()
	if err != nil {
		return &cli.UsageError{Err: err}
	}
	out, err := newPrinter(e, o)
	if err != nil {
		return err
	}
	if a.store, err = remote.DialStores(e, o.Store); err != nil {
		return err
	}
	defer func() { _ = a.store.Close() }() // of a connection that is done with
	file, isFile := out.(*parquetPrinter)
	switch {
	case isFile && (q.Pipes() || o.Count):
		return file.rows(nil, nil)
	case isFile:
		file.begin(ctx, a)
	}
	switch {
	case q.Pipes() && o.Count:
		return cli.Usagef("--count counts events: the query counts by itself (| stats count())")
	case q.Pipes():
		err = a.rows(ctx, out)
	case o.Count:
		err = a.count(ctx)
	case o.Oldest && (o.Limit == 0 || o.Limit > pageSize):
		err = a.export(ctx, out)
	default:
		err = a.pages(ctx, out)
	}
	a.progress.Done()
	err = errors.Join(a.explain(err), out.end(err == nil))
	if err == nil && o.Format == "text" && !o.Count {
		a.tellRange(q)
	}
	a.tellLacks()
	a.tellThinned()
	return err
}

// tellRange says to people where an answer ends that shows nothing, or not all.
func (a *asker) tellRange(q *logsql.Query) {
	switch {
	case a.more:
		which := "newest"
		if a.o.Oldest {
			which = "oldest"
		}
		fmt.Fprintf(a.e.Stderr, "these are the %s %d: --limit 0 for all\n", which, a.shown)
	case a.shown == 0:
		what, from, until := "no event matches", "", "now"
		if q.Pipes() {
			what = "there are no rows"
		}
		if a.since != nil {
			from = " from " + a.since.AsTime().Local().Format(time.DateTime)
		}
		if a.until != nil {
			until = a.until.AsTime().Local().Format(time.DateTime)
		}
		fmt.Fprintf(a.e.Stderr, "%s%s until %s", what, from, until)
		if a.since != nil {
			fmt.Fprint(a.e.Stderr, " (--since all for everything that is stored)")
		}
		fmt.Fprintln(a.e.Stderr)
	}
}

// check reads the arguments.
func (a *asker) check() (*logsql.Query, error) {
	q, err := logsql.Parse(a.o.Query)
	if err != nil {
		return nil, fmt.Errorf("query: %w", pointed(a.o.Query, err))
	}
	if a.since, err = parseTime("--since", a.o.Since, a.e.Now()); err != nil {
		return nil, err
	}
	if a.until, err = parseTime("--until", a.o.Until, a.e.Now()); err != nil {
		return nil, err
	}
	if a.since != nil && a.until != nil && !a.since.AsTime().Before(a.until.AsTime()) {
		return nil, errors.New("--until must be after --since")
	}
	return q, nil
}

// pointed shows where a query is wrong.
func pointed(query string, err error) error {
	fault, ok := errors.AsType[*logsql.SyntaxError](err)
	if !ok || strings.ContainsAny(query, "\n\t") || len(query) > 200 || fault.Position > len(query) {
		return err
	}
	return fmt.Errorf("%w\n  %s\n  %s^", err, query, strings.Repeat(" ", len([]rune(query[:fault.Position]))))
}

// parseTime reads a bound: how long ago, such as 15m, 24h or 7d, or a time.
func parseTime(flag, text string, now time.Time) (*timestamppb.Timestamp, error) {
	if text == "" || text == "all" {
		return nil, nil //nolint:nilnil // nil is no bound
	}
	at, err := cli.When(text, now)
	if err != nil {
		return nil, fmt.Errorf("%s %w", flag, err)
	}
	return timestamppb.New(at), nil
}

// explain words an error of a call for people. What the store finds wrong with the
// question was asked wrongly.
func (a *asker) explain(err error) error {
	if err == nil {
		return nil
	}
	if status.Code(err) == codes.InvalidArgument {
		return &cli.UsageError{Err: errors.New(status.Convert(err).Message())}
	}
	if _, ok := status.FromError(err); !ok {
		return err
	}
	return a.store.Explain(err)
}

// patient shows how long a call takes, where somebody looks on.
func patient[T any](ctx context.Context, a *asker, call func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	began := time.Now()
	go func() {
		v, err := call(ctx)
		done <- answer{v, err}
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case r := <-done:
			return r.value, r.err
		case <-tick.C:
			a.progress.Count(fmt.Sprintf("asking the store, %s (Ctrl-C ends)", cli.Duration(time.Since(began).Truncate(time.Second))), a.shown, 0)
		}
	}
}

// search is the request for a page.
func (a *asker) search(limit uint64) *pb.SearchEventsRequest {
	return &pb.SearchEventsRequest{
		Filter: &pb.Filter{Query: a.o.Query}, Since: a.since, Until: a.until, Limit: uint32(min(limit, pageSize)),
		OldestFirst: a.o.Oldest, NoTotal: true,
	}
}

// count prints how many events match.
func (a *asker) count(ctx context.Context) error {
	req := a.search(1)
	req.NoTotal = false
	found, err := patient(ctx, a, func(ctx context.Context) (*pb.SearchEventsResponse, error) {
		return a.store.Query.SearchEvents(ctx, req)
	})
	if err != nil {
		return err
	}
	a.lacks, a.thinned = found.GetLacks(), found.GetThinned()
	a.progress.Done()
	_, err = fmt.Fprintln(a.e.Stdout, found.GetTotal())
	return err
}

// pages prints events page by page.
func (a *asker) pages(ctx context.Context, out printer) error {
	left := a.o.Limit
	if left == 0 {
		left = 1 << 62
	}
	req := a.search(left)
	for {
		found, err := patient(ctx, a, func(ctx context.Context) (*pb.SearchEventsResponse, error) {
			return a.store.Query.SearchEvents(ctx, req)
		})
		if err != nil {
			return err
		}
		a.note(found.GetLacks(), found.GetThinned())
		if err := a.show(out, found.GetEvents()); err != nil {
			return err
		}
		left -= uint64(len(found.GetEvents()))
		if req.Page, req.Limit = found.GetNextPage(), uint32(min(left, pageSize)); req.GetPage() == "" || left == 0 {
			a.more = req.GetPage() != ""
			return nil
		}
	}
}

// note keeps what a part of the answer lacks and those before it did not: a later page may
// lack what the first one had, and mostly lacks the same.
func (a *asker) note(lacks []*pb.Lack, thinned bool) {
	before := slices.Clip(a.lacks)
	for _, l := range lacks {
		same := func(known *pb.Lack) bool {
			return known.GetPlace() == l.GetPlace() && known.GetReason() == l.GetReason() && known.GetHost() == l.GetHost() &&
				known.GetAgent() == l.GetAgent() && proto.Equal(known.GetSince(), l.GetSince()) && proto.Equal(known.GetUntil(), l.GetUntil())
		}
		if len(a.lacks) < mostLacks && !slices.ContainsFunc(before, same) {
			a.lacks = append(a.lacks, l)
		}
	}
	a.thinned = a.thinned || thinned
}

// mostLacks bounds what is told of an answer of many pages.
const mostLacks = 200

// show prints events.
func (a *asker) show(out printer, events []*pb.StoredEvent) error {
	a.progress.Done()
	for _, e := range events {
		if err := out.event(e); err != nil {
			return err
		}
		a.shown++
	}
	return out.flush()
}

// export prints all events, oldest first, as they come.
func (a *asker) export(ctx context.Context, out printer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := a.store.Query.Export(ctx, &pb.ExportRequest{
		Filter: &pb.Filter{Query: a.o.Query}, Since: a.since, Until: a.until, Limit: a.o.Limit,
	})
	if err != nil {
		return err //nolint:wrapcheck // explain words it
	}
	var expected uint64
	for {
		part, err := patient(ctx, a, func(context.Context) (*pb.ExportResponse, error) { return stream.Recv() })
		if errors.Is(err, io.EOF) {
			return errors.New("the store broke the export off: what was printed is not all")
		}
		if err != nil {
			return err
		}
		if err := a.show(out, part.GetEvents()); err != nil {
			return err
		}
		expected += part.GetExpected()
		a.progress.Count("events", a.shown, expected)
		a.note(part.GetLacks(), part.GetThinned())
		if part.GetDone() {
			return nil
		}
	}
}

// rows prints the answer to a query with pipes.
func (a *asker) rows(ctx context.Context, out printer) error {
	if len(a.o.Fields) > 0 {
		return cli.Usagef("--fields are of events: the query names its columns by itself (| fields …)")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	limit := uint32(min(a.o.Limit, 1<<31))
	if limit == 0 {
		limit = 1 << 31 // as many as the store gives
	}
	stream, err := a.store.Query.Rows(ctx, &pb.RowsRequest{Query: a.o.Query, Since: a.since, Until: a.until, Limit: limit})
	if err != nil {
		return err //nolint:wrapcheck // explain words it
	}
	return a.take(ctx, stream, out)
}

func (a *asker) take(ctx context.Context, stream grpc.ServerStreamingClient[pb.RowsResponse], out printer) error {
	for {
		part, err := patient(ctx, a, func(context.Context) (*pb.RowsResponse, error) { return stream.Recv() })
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		a.progress.Done()
		if err := out.rows(part.GetFields(), part.GetRows()); err != nil {
			return err
		}
		a.shown += uint64(len(part.GetRows()))
		a.note(part.GetLacks(), part.GetThinned())
	}
}

// tellThinned says that the store does not have each reading, and need not.
func (a *asker) tellThinned() {
	if a.thinned {
		fmt.Fprintln(a.e.Stderr, "readings such as process.sample are one every few minutes here: the metrics have those between, of processes the busiest (--metrics)")
	}
}

// tellLacks says what the answer does not have.
func (a *asker) tellLacks() {
	for _, l := range a.lacks {
		text := l.GetReason()
		if l.GetCount() > 0 {
			text += " (" + cli.Counted(l.GetCount(), "event", "events") + ")"
		}
		switch {
		case l.GetAgent() != "":
			text += ", " + l.GetAgent() + " on " + l.GetHost()
		case l.GetHost() != "":
			text += ", " + l.GetHost()
		}
		since, until := "", ""
		if t := l.GetSince(); t != nil {
			since = " from " + t.AsTime().Local().Format(time.DateTime)
		}
		if t := l.GetUntil(); t != nil {
			until = " until " + t.AsTime().Local().Format(time.DateTime)
		}
		fmt.Fprintf(a.e.Stderr, "not complete: %s: %s%s%s\n", cli.Clean(l.GetPlace()), cli.Clean(text), since, until)
	}
}
