package answers_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/answers"
)

// client serves a store and connects to it.
func (st *store) client(t *testing.T) pb.QueryClient {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterQueryServer(server, st)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return pb.NewQueryClient(conn)
}

// exported reads a whole export.
func exported(t *testing.T, c pb.QueryClient, req *pb.ExportRequest) (events []uint64, expected uint64, last *pb.ExportResponse) {
	t.Helper()
	stream, err := c.Export(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return events, expected, last
		}
		if err != nil {
			t.Fatal(err)
		}
		expected += r.GetExpected()
		events, last = append(events, offsets(r.GetEvents())...), r
	}
}

// TestExport: every event once, oldest first, however they lie in time, while others
// are being stored.
func TestExport(t *testing.T) {
	st := newStore(t, answers.Limits{})
	c := st.client(t)
	const total = 30_000
	want := make([]uint64, 0, total)
	for i := range total {
		at := now.Add(-72 * time.Hour)
		switch {
		case i < 9_000: // of one instant, more than a slice
		case i < 20_000: // within a second
			at = now.Add(-48*time.Hour + time.Duration(i)*50*time.Microsecond)
		default: // over a day
			at = now.Add(-24*time.Hour + time.Duration(i)*time.Second)
		}
		want = append(want, st.add(t, execution(at, "web-1", "curl")))
	}
	st.add(t, execution(now, "web-1", "bash"))
	st.flush(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // others, all over the range
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				st.add(t, execution(now.Add(-time.Duration(i%72)*time.Hour), "web-2", "curl"))
				st.flush(t)
			}
		}
	}()
	got, expected, last := exported(t, c, &pb.ExportRequest{Filter: query("process.name:curl host:web-1")})
	close(stop)
	<-stopped
	if !slices.Equal(got, want) || expected != total {
		t.Errorf("%d events of %d, expected %d, in order: %v", len(got), total, expected, slices.IsSorted(got))
	}
	if !last.GetDone() || len(last.GetLacks()) > 0 || last.GetCompleteToOffset() < total {
		t.Errorf("the last is %v", last)
	}
	got, expected, last = exported(t, c, &pb.ExportRequest{Limit: 9_500})
	if len(got) != 9_500 || expected != 9_500 || !last.GetDone() || len(last.GetLacks()) > 0 {
		t.Errorf("with a limit: %d events, expected %d, last %v", len(got), expected, last)
	}
	got, expected, last = exported(t, c, &pb.ExportRequest{Filter: query("nothing")})
	if len(got) != 0 || expected != 0 || !last.GetDone() {
		t.Errorf("of nothing: %d events, expected %d, last %v", len(got), expected, last)
	}
}

// TestExportLacksAtItsEnd: what goes away while an export runs is told at its end.
func TestExportLacksAtItsEnd(t *testing.T) {
	st := newStore(t, answers.Limits{})
	st.add(t, execution(now.Add(-time.Hour), "web-1", "curl"))
	st.flush(t)
	asked := 0
	st.Service = answers.New(answers.Options{
		Engine: st.keeper.Client(), Now: func() time.Time { return now }, Log: func() uint64 { return st.log },
		Status: func() *pb.StoreStatus { return &pb.StoreStatus{State: "ok", NextOffset: 1} },
		Hub:    func(context.Context) (*pb.StatusResponse, error) { return st.hub, nil },
		Lacks: func(time.Time, time.Time) []*pb.Lack {
			if asked++; asked == 1 {
				return nil
			}
			return []*pb.Lack{{Place: "store", Reason: "a node is away"}}
		},
	})
	events, _, last := exported(t, st.client(t), &pb.ExportRequest{})
	if len(events) != 1 || len(last.GetLacks()) != 1 || last.GetLacks()[0].GetReason() != "a node is away" {
		t.Errorf("%d events, lacks %v", len(events), last.GetLacks())
	}
}

// TestExportIsLeft: who goes away while events come ends the export, and who does not
// take them stops nobody else.
func TestExportIsLeft(t *testing.T) {
	st := newStore(t, answers.Limits{Running: 1})
	c := st.client(t)
	for i := range 20_000 {
		st.add(t, execution(now.Add(-time.Duration(i)*time.Second), "web-1", strings.Repeat("curl", 20)))
	}
	st.flush(t)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := c.Export(ctx, &pb.ExportRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	// It is not read any further, and holds the one turn for exports of this caller. The
	// engine is free all the same, and so are questions.
	var rows int
	err = st.keeper.Client().Query(t.Context(), engineQuery("* | stats count() n"), countRows(&rows))
	if err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
	cancel()
	if _, err := c.SearchEvents(t.Context(), &pb.SearchEventsRequest{}); err != nil {
		t.Error(err)
	}
}

func TestRows(t *testing.T) {
	st := newStore(t, answers.Limits{})
	c := st.client(t)
	for i := range 1_000 {
		st.add(t, execution(now.Add(-time.Duration(i)*time.Minute), fmt.Sprintf("web-%d", i%4), "curl"))
	}
	st.flush(t)
	get := func(req *pb.RowsRequest) (fields []string, rows [][]string, last *pb.RowsResponse, err error) {
		stream, err := c.Rows(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for {
			r, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return fields, rows, last, nil
			}
			if err != nil {
				return nil, nil, nil, err
			}
			if len(r.GetFields()) > 0 {
				fields = r.GetFields()
			}
			for _, row := range r.GetRows() {
				rows = append(rows, row.GetValues())
			}
			last = r
		}
	}
	fields, rows, last, err := get(&pb.RowsRequest{Query: "* | stats by (host) count() n | sort by (host)"})
	if err != nil || fmt.Sprint(fields, rows) != "[host n] [[web-0 250] [web-1 250] [web-2 250] [web-3 250]]" || last.GetCompleteToOffset() != 1_000 || last.GetTook() == nil {
		t.Errorf("%v %v %v, last %v", fields, rows, err, last)
	}
	_, rows, _, err = get(&pb.RowsRequest{Query: "* | stats count() n", Since: timestamppb.New(now.Add(-9 * time.Minute)), Until: timestamppb.New(now)})
	if err != nil || fmt.Sprint(rows) != "[[10]]" {
		t.Errorf("in ten minutes: %v %v", rows, err)
	}
	fields, _, _, err = get(&pb.RowsRequest{Query: "type:process. | stats by (type, host) count() events | sort by (events) | limit 1"})
	if err != nil || fmt.Sprint(fields) != "[type host events]" {
		t.Errorf("columns %v, not as they were named: %v", fields, err)
	}
	for query, want := range map[string]string{
		"* | fields process.pid, host, process.exit_code, time | limit 3":           "[process.pid host process.exit_code time]",
		"* | stats by (_time:1d, process.name) count() n":                           "[_time process.name n]",
		"type:process. | stats by (time:1d) count() n | sort by (time)":             "[time n]",
		"* | fields host, message | stats by (host) max(message) pid":               "[host pid]",
		"* | fields host | limit 1 | format \"<host>\" as line":                     "[host line]",
		"* | fields host, process.name | fields process.name, host | filter host:*": "[process.name host]",
	} {
		if fields, _, _, err := get(&pb.RowsRequest{Query: query}); fmt.Sprint(fields) != want {
			t.Errorf("%s: columns %v, not %s: %v", query, fields, want, err)
		}
	}
	fields, rows, last, err = get(&pb.RowsRequest{Query: "* | fields message, host", Limit: 7})
	if fmt.Sprint(fields) != "[message host]" {
		t.Errorf("columns %v, not as they were listed", fields)
	}
	if err != nil || len(rows) != 7 || !strings.Contains(lackTexts(last.GetLacks()), "more rows than the 7") {
		t.Errorf("with a limit: %d rows, lacks %s, %v", len(rows), lackTexts(last.GetLacks()), err)
	}
	if _, _, _, err = get(&pb.RowsRequest{Query: "("}); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "position 1") {
		t.Errorf("a bad query: %v", err)
	}
}

// TestSlowReaders: answers that are not read count until they are, or their readers leave;
// an export waits for room.
func TestSlowReaders(t *testing.T) {
	st := newStore(t, answers.Limits{Held: 6 << 20, HeldOfCaller: 6 << 20, Running: 8})
	c := st.client(t)
	const total = 3_000
	for i := range total {
		st.add(t, execution(now.Add(-time.Duration(i)*time.Second), "web-1", "curl "+strings.Repeat("x", 300)))
	}
	st.flush(t)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	refused := 0
	for range 8 {
		stream, err := c.Rows(ctx, &pb.RowsRequest{Query: "*"})
		if err == nil {
			_, err = stream.Recv() // and no more
		}
		if status.Code(err) == codes.ResourceExhausted && strings.Contains(err.Error(), "still reading") {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if refused == 0 || refused == 8 {
		t.Fatalf("%d of 8 were refused", refused)
	}
	done := make(chan int, 1)
	go func() {
		stream, err := c.Export(t.Context(), &pb.ExportRequest{})
		n := 0
		for err == nil {
			var r *pb.ExportResponse
			if r, err = stream.Recv(); err == nil {
				n += len(r.GetEvents())
			}
		}
		if !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		done <- n
	}()
	leave()
	if n := <-done; n != total {
		t.Errorf("%d events of %d", n, total)
	}
	if _, err := st.SearchEvents(t.Context(), &pb.SearchEventsRequest{Limit: 10}); err != nil {
		t.Error(err)
	}
}
