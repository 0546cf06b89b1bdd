package answers_test

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/answers"
	"github.com/amoskys/amoskys/internal/store/enginetest"
)

// rowsOf is the error and the number of rows of a query with pipes.
func rowsOf(t *testing.T, c pb.QueryClient, req *pb.RowsRequest) (n int, err error) {
	t.Helper()
	stream, err := c.Rows(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		n += len(r.GetRows())
	}
}

// TestHostileQueries are refused with the reason, or cost what any query may cost.
func TestHostileQueries(t *testing.T) {
	st := newStore(t, answers.Limits{Reads: 1_000, Bytes: 2 << 20})
	c := st.client(t)
	for i := range 5_000 {
		ev := execution(now.Add(-time.Duration(i)*time.Minute), "web-1", "curl")
		ev.Message = strings.Repeat("a", 500)
		st.add(t, ev)
	}
	st.flush(t)
	for name, tc := range map[string]struct {
		query string
		code  codes.Code
	}{
		"an expression without a word": {`process.cmd_line:~"(a+)+$"`, codes.InvalidArgument},
		"a long query":                 {strings.Repeat("a ", 9_000), codes.InvalidArgument},
		"brackets":                     {strings.Repeat("(", 5_000), codes.InvalidArgument},
		"nested queries":               {strings.Repeat("host:in(* | fields host ", 100), codes.InvalidArgument},
		"options":                      {"options(ignore_global_time_filter=true) *", codes.InvalidArgument},
		"no text":                      {"\xff\xfe", codes.InvalidArgument},
	} {
		if strings.HasPrefix(name, "no text") {
			if _, err := st.SearchEvents(t.Context(), &pb.SearchEventsRequest{Filter: query(tc.query)}); status.Code(err) != tc.code {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if _, err := c.SearchEvents(t.Context(), &pb.SearchEventsRequest{Filter: query(tc.query)}); status.Code(err) != tc.code {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := rowsOf(t, c, &pb.RowsRequest{Query: tc.query}); status.Code(err) != tc.code {
			t.Errorf("%s, as rows: %v", name, err)
		}
	}
	// What leaves too many events is no help, by whichever way it comes; what leaves few is.
	for _, f := range []*pb.Filter{query(`type:process.execution message:~"(a+)+$"`), {Query: `message:~"(a+)+$"`, Types: []string{"process.execution"}}} {
		if _, err := c.SearchEvents(t.Context(), &pb.SearchEventsRequest{Filter: f}); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "5000 events") {
			t.Errorf("%v: %v", f, err)
		}
	}
	if got, err := c.SearchEvents(t.Context(), &pb.SearchEventsRequest{Filter: query(`host:=web-2 message:~"(a+)+$"`)}); err != nil || got.GetTotal() != 0 {
		t.Errorf("of another host: %d, %v", got.GetTotal(), err)
	}
	// The same expression over little is answered.
	if got, err := c.SearchEvents(t.Context(), &pb.SearchEventsRequest{Filter: query(`message:~"(a+)+$"`), Since: timestamppb.New(now.Add(-time.Hour))}); err != nil || got.GetTotal() != 61 {
		t.Errorf("over an hour: %d, %v", got.GetTotal(), err)
	}
	if _, err := rowsOf(t, c, &pb.RowsRequest{Query: "*" + strings.Repeat(" | limit 5", 1_000)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a thousand pipes: %v", err)
	}
	if n, err := rowsOf(t, c, &pb.RowsRequest{Query: "* | fields message", Limit: math.MaxUint32}); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "MiB") {
		t.Errorf("more rows than fit: %d, %v", n, err)
	}
	// All ranges there are.
	for _, r := range [][2]time.Time{{time.Time{}, time.Unix(1<<40, 0)}, {time.Unix(-1<<40, 0), now}, {now, now}, {time.Unix(1<<40, 0), time.Time{}}} {
		since, until := timestamppb.New(r[0]), timestamppb.New(r[1])
		got, err := c.SearchEvents(t.Context(), &pb.SearchEventsRequest{
			Since: since, Until: until, Limit: math.MaxUint32, HistogramBuckets: math.MaxUint32, Facets: []string{"host"},
		})
		if err != nil || len(got.GetHistogram().GetCounts()) > 502 {
			t.Errorf("%v to %v: %d buckets, %v", r[0], r[1], len(got.GetHistogram().GetCounts()), err)
		}
		for _, step := range []time.Duration{0, 1, math.MaxInt64} {
			_, err := c.Series(t.Context(), &pb.SeriesRequest{Names: []string{answers.SeriesEvents}, Since: since, Until: until, Step: durationpb.New(step)})
			if code := status.Code(err); code != codes.OK && code != codes.InvalidArgument {
				t.Errorf("series from %v to %v by %v: %v", r[0], r[1], step, err)
			}
		}
		if events, _, last := exported(t, c, &pb.ExportRequest{Since: since, Until: until, Limit: 10}); len(events) > 10 || !last.GetDone() {
			t.Errorf("export from %v to %v: %d events, last %v", r[0], r[1], len(events), last)
		}
	}
	if _, err := c.Event(t.Context(), &pb.EventRequest{Offset: math.MaxUint64, Neighbours: math.MaxUint32}); status.Code(err) != codes.NotFound {
		t.Errorf("the last offset: %v", err)
	}
}

// forged is a page's token with other contents, which pass its checksum.
func forged(t *testing.T, page string, f *pb.Filter, last, offset, next uint64) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(page)
	if err != nil {
		t.Fatal(err)
	}
	b = b[:1]
	for _, n := range []uint64{last, offset, next} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(b, crc32.Update(crc32.Checksum(b, table), table, encoded)))
}

// TestForgedPages have no other events than the search finds: a token says where to go on,
// and what is asked stands in the request.
func TestForgedPages(t *testing.T) {
	st := newStore(t, answers.Limits{})
	for i := range 20 {
		st.add(t, execution(now.Add(-time.Duration(i)*time.Minute), []string{"web-1", "web-2"}[i%2], "curl"))
	}
	st.flush(t)
	c := st.client(t)
	req := &pb.SearchEventsRequest{Filter: &pb.Filter{Hosts: []string{"web-1"}}, Since: timestamppb.New(now.Add(-10*time.Minute - time.Second)), Limit: 2}
	first, err := c.SearchEvents(t.Context(), req)
	if err != nil || first.GetNextPage() == "" {
		t.Fatal(first, err)
	}
	extremes := []uint64{0, 1, uint64(now.UnixNano()), math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64}
	req.Limit = 100
	for _, last := range extremes {
		for _, offset := range extremes {
			for _, next := range []uint64{0, 5, math.MaxUint64} {
				req.Page = forged(t, first.GetNextPage(), req.GetFilter(), last, offset, next)
				got, err := c.SearchEvents(t.Context(), req)
				if err != nil && status.Code(err) != codes.InvalidArgument {
					t.Errorf("behind %d, %d of %d: %v", last, offset, next, err)
				}
				if len(got.GetEvents()) > 6 {
					t.Errorf("behind %d, %d of %d: %d events", last, offset, next, len(got.GetEvents()))
				}
				for _, e := range got.GetEvents() {
					ev, err := event.Decode(e.GetEvent())
					if err != nil || ev.GetHost().GetName() != "web-1" || ev.GetTime().AsTime().Before(req.GetSince().AsTime()) {
						t.Errorf("behind %d, %d of %d: %v, %v", last, offset, next, ev, err)
					}
				}
			}
		}
	}
}

// TestManyColumns: fields that events name themselves do not make a table that grows
// with their number times that of the rows.
func TestManyColumns(t *testing.T) {
	st := newStore(t, answers.Limits{})
	for i := range 600 {
		ev := execution(now.Add(-time.Duration(i)*time.Second), "web-1", "curl")
		ev.Labels = map[string]string{fmt.Sprintf("a%d", i): "1", fmt.Sprintf("b%d", i): "2"}
		st.add(t, ev)
	}
	st.flush(t)
	c := st.client(t)
	for text, want := range map[string]int{
		"* | unpack_json from labels | fields a*":               600,
		"* | unpack_json from labels | fields a1, b1, b2, host": 600,
	} {
		if n, err := rowsOf(t, c, &pb.RowsRequest{Query: text}); err != nil || n != want {
			t.Errorf("%s: %d rows, %v", text, n, err)
		}
	}
	if n, err := rowsOf(t, c, &pb.RowsRequest{Query: "* | unpack_json from labels | delete labels"}); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "columns") {
		t.Errorf("1,200 labels as columns: %d rows, %v", n, err)
	}
}

// TestQueryInsideAQuery sees the range that was asked for, whichever window the search
// is in.
func TestQueryInsideAQuery(t *testing.T) {
	st := newStore(t, answers.Limits{})
	st.add(t, execution(now, "web-1", "curl"))
	st.add(t, execution(now.Add(-20*time.Hour), "web-1", "bash"))
	st.add(t, execution(now.Add(-20*time.Hour), "web-2", "curl"))
	st.add(t, execution(now.Add(-30*time.Hour), "web-2", "bash"))
	st.flush(t)
	for since, want := range map[time.Duration]uint64{24 * time.Hour: 1, 48 * time.Hour: 2} {
		got, err := st.SearchEvents(t.Context(), &pb.SearchEventsRequest{
			Filter: query("process.name:curl host:in(process.name:bash | fields host)"), Since: timestamppb.New(now.Add(-since)),
		})
		if err != nil || got.GetTotal() != want || uint64(len(got.GetEvents())) != want {
			t.Errorf("in %v: %d of %d events, %v", since, len(got.GetEvents()), got.GetTotal(), err)
		}
	}
}

// TestTooLong: a question that takes longer than it may is an error, whatever was found
// by then.
func TestTooLong(t *testing.T) {
	st := newStore(t, answers.Limits{Time: time.Nanosecond})
	st.add(t, execution(now, "web-1", "curl"))
	st.flush(t)
	if _, err := st.SearchEvents(t.Context(), &pb.SearchEventsRequest{}); status.Code(err) != codes.DeadlineExceeded && status.Code(err) != codes.ResourceExhausted {
		t.Errorf("got %v", err)
	}
}

// TestTooManyValues: what needs more of the engine's memory than a query may have is
// refused, and says so.
func TestTooManyValues(t *testing.T) {
	o := enginetest.Options(t, filepath.Join(t.TempDir(), "store"))
	o.Flags.MemoryBytes = 16 << 20
	k, _ := enginetest.Run(t, o)
	st := newStoreOver(k, answers.Limits{})
	for i := range 60_000 {
		ev := execution(now.Add(-time.Duration(i)*time.Second), "web-1", "curl")
		ev.Message = fmt.Sprintf("message %060d", i)
		st.add(t, ev)
	}
	st.flush(t)
	c := st.client(t)
	if n, err := rowsOf(t, c, &pb.RowsRequest{Query: "* | stats by (message) count() n | sort by (n)"}); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "memory") {
		t.Errorf("%d rows, %v", n, err)
	}
	// Pages need little.
	if events, _ := walk(t, st, &pb.SearchEventsRequest{Limit: 1_000, Since: timestamppb.New(now.Add(-time.Hour)), NoTotal: true}); len(events) != 3_601 {
		t.Errorf("%d events", len(events))
	}
}

// TestEngineDies: while it is away questions fail and say so; none has a part of an
// answer, and afterwards all is there.
func TestEngineDies(t *testing.T) {
	st := newStore(t, answers.Limits{})
	const total = 20_000
	for i := range total {
		st.add(t, execution(now.Add(-time.Duration(i)*time.Second), "web-1", "curl"))
	}
	st.flush(t)
	c := st.client(t)
	before := st.keeper.State()
	failed := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		defer close(failed)
		for {
			n, err := rowsOf(t, c, &pb.RowsRequest{Query: "* | fields offset", Limit: total})
			if err != nil {
				if status.Code(err) != codes.Unavailable {
					done <- fmt.Errorf("it fails with %w", err)
				}
				return
			}
			if n != total {
				done <- fmt.Errorf("%d rows without an error", n)
				return
			}
		}
	}()
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-failed
	select {
	case err := <-done:
		t.Error(err)
	default:
	}
	if _, err := st.keeper.Wait(t.Context(), before.Starts); err != nil {
		t.Fatal(err)
	}
	if n, err := rowsOf(t, c, &pb.RowsRequest{Query: "* | fields offset", Limit: total}); err != nil || n != total {
		t.Errorf("afterwards %d rows, %v", n, err)
	}
}
