package dashboard_test

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/dashboard"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// scriptedStore is a store whose answers a test writes.
type scriptedStore struct {
	pb.UnimplementedQueryServer

	mu    sync.Mutex
	asked []proto.Message

	search func(*pb.SearchEventsRequest) (*pb.SearchEventsResponse, error)
	rows   []*pb.RowsResponse
	export func(*pb.ExportRequest, grpc.ServerStreamingServer[pb.ExportResponse]) error
	names  *pb.FieldNamesResponse
	values *pb.FieldValuesResponse
	status *pb.StatusResponse
}

func (s *scriptedStore) note(req proto.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, req)
}

// last is the newest question.
func (s *scriptedStore) last() proto.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[len(s.asked)-1]
}

func (s *scriptedStore) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	return s.status, nil
}

func (s *scriptedStore) SearchEvents(_ context.Context, req *pb.SearchEventsRequest) (*pb.SearchEventsResponse, error) {
	s.note(req)
	return s.search(req)
}

func (s *scriptedStore) Rows(req *pb.RowsRequest, stream grpc.ServerStreamingServer[pb.RowsResponse]) error {
	s.note(req)
	for _, part := range s.rows {
		if err := stream.Send(part); err != nil {
			return err
		}
	}
	return nil
}

func (s *scriptedStore) Export(req *pb.ExportRequest, stream grpc.ServerStreamingServer[pb.ExportResponse]) error {
	s.note(req)
	return s.export(req, stream)
}

func (s *scriptedStore) FieldNames(_ context.Context, req *pb.FieldNamesRequest) (*pb.FieldNamesResponse, error) {
	s.note(req)
	return s.names, nil
}

func (s *scriptedStore) FieldValues(_ context.Context, req *pb.FieldValuesRequest) (*pb.FieldValuesResponse, error) {
	s.note(req)
	return s.values, nil
}

// newStoreSite is a dashboard between a hub and a store that is scripted.
func newStoreSite(t *testing.T, st *scriptedStore, change ...func(*dashboard.Options)) (s *site, stopStore func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterQueryServer(server, st)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	stopStore = sync.OnceFunc(func() { server.Stop(); <-done })
	t.Cleanup(stopStore)
	host, port, _ := net.SplitHostPort(l.Addr().String())
	return newSite(t, append(change, func(o *dashboard.Options) {
		o.Config.Store.Host = host
		o.Config.Store.Port, _ = strconv.Atoi(port)
	})...), stopStore
}

func storedEvents(t *testing.T, names ...string) []*pb.StoredEvent {
	t.Helper()
	var list []*pb.StoredEvent
	for i, name := range names {
		encoded, err := event.Encode(sampleEvent(name, uint32(i+1)))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, &pb.StoredEvent{
			Offset: uint64(i + 10), LoggedTime: timestamppb.New(time.Unix(1_700_000_000, 0)), Publisher: "spiffe://test/agent/h1", Event: encoded,
		})
	}
	return list
}

var spoolFull = &pb.Lack{
	Place: "agent", Count: 1204, Reason: "its spool was full – ältere", Since: timestamppb.New(time.Unix(1_700_000_000, 0)), Host: "web-1", Agent: "proc_agent",
}

// TestSearchPagesAndLacks: pages are asked for by what the store said, and what it
// lacks is handed on.
func TestSearchPagesAndLacks(t *testing.T) {
	st := &scriptedStore{}
	st.search = func(req *pb.SearchEventsRequest) (*pb.SearchEventsResponse, error) {
		if req.GetPage() == "bad" {
			return nil, status.Error(codes.InvalidArgument, "this page is of another search: begin anew")
		}
		return &pb.SearchEventsResponse{
			Events: storedEvents(t, "a", "b"), Total: 7, NextPage: "p2", Lacks: []*pb.Lack{spoolFull}, CompleteToOffset: 99,
			Store: &pb.StoreStatus{State: "behind", LagEvents: 3, Reason: "1 day is rebuilt"},
		}, nil
	}
	s, _ := newStoreSite(t, st)
	c := s.signedIn(t, "viewer")
	var a dashboard.EventsAnswer
	if code := c.do("GET", "/api/events?since=720h&oldest_first=true&limit=2", nil, &a); code != http.StatusOK {
		t.Fatal(code)
	}
	since := time.Unix(1_700_000_000, 0).UTC()
	if diff := cmp.Diff([]dashboard.Lack{{
		Place: "agent", Count: 1204, Reason: spoolFull.GetReason(), Since: &since, Host: "web-1", Agent: "proc_agent",
	}}, a.Lacks); diff != "" {
		t.Error(diff)
	}
	if a.NextPage != "p2" || a.Store.LagEvents != 3 || a.Store.Reason != "1 day is rebuilt" || a.CompleteTo != 99 {
		t.Errorf("%+v", a)
	}
	if req, _ := st.last().(*pb.SearchEventsRequest); !req.GetOldestFirst() || req.GetNoTotal() {
		t.Errorf("asked %v", req)
	}
	if code := c.do("GET", "/api/events?since=720h&page=p2", nil, &a); code != http.StatusOK {
		t.Fatal(code)
	}
	if req, _ := st.last().(*pb.SearchEventsRequest); req.GetPage() != "p2" || !req.GetNoTotal() {
		t.Errorf("asked %v", req)
	}
	var p dashboard.Problem
	if code := c.do("GET", "/api/events?since=720h&page=bad", nil, &p); code != http.StatusBadRequest || !strings.Contains(p.Detail, "begin anew") {
		t.Errorf("%d %+v", code, p)
	}
}

// TestStoreAway: what needs the store says so and what to do; the rest goes on.
func TestStoreAway(t *testing.T) {
	st := &scriptedStore{}
	s, stop := newStoreSite(t, st)
	c := s.signedIn(t, "viewer")
	stop()
	for _, path := range []string{
		"/api/events?since=1h", "/api/events/5", "/api/events/export?since=1h", "/api/query/rows?query=*&since=1h",
		"/api/fields?since=1h", "/api/fields/host/values?since=1h", "/api/store",
	} {
		response := c.send("GET", path, nil)
		var p dashboard.Problem
		err := json.NewDecoder(response.Body).Decode(&p)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusServiceUnavailable || p.Away != "store" ||
			!strings.Contains(p.Detail, "amoskys up starts it") || response.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %+v %v", path, response.StatusCode, p, err)
		}
	}
	var o dashboard.Overview
	if code := c.do("GET", "/api/overview", nil, &o); code != http.StatusOK {
		t.Fatal(code)
	}
	if o.Status.State != "ok" || o.Store.State != "unreachable" || !strings.Contains(o.StoreAway, "does not answer") {
		t.Errorf("%+v", o.OverviewStatus)
	}
}

func TestRows(t *testing.T) {
	row := func(values ...string) *pb.Row { return &pb.Row{Values: values} }
	st := &scriptedStore{rows: []*pb.RowsResponse{
		{Fields: []string{"host", "n"}, Rows: []*pb.Row{row("a", "1"), row("b", "2")}},
		{Rows: []*pb.Row{row("c", "3")}},
		{Fields: []string{"n", "why"}, Rows: []*pb.Row{row("4", "new")}},
		{Lacks: []*pb.Lack{{Place: "limit", Reason: "4 rows"}}, Took: durationpb.New(1500 * time.Microsecond), CompleteToOffset: 8},
	}}
	s, _ := newStoreSite(t, st)
	c := s.signedIn(t, "viewer")
	var a dashboard.RowsAnswer
	if code := c.do("GET", "/api/query/rows?limit=4&since=7d&query=host:a", nil, &a); code != http.StatusOK {
		t.Fatal(code)
	}
	want := dashboard.RowsAnswer{
		Columns: []string{"host", "n", "why"},
		Rows:    [][]string{{"a", "1", ""}, {"b", "2", ""}, {"c", "3", ""}, {"", "4", "new"}},
		More:    true, TookMS: 1.5, CompleteTo: 8, Lacks: []dashboard.Lack{{Place: "limit", Reason: "4 rows"}},
	}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Error(diff)
	}
	st.rows = []*pb.RowsResponse{{Fields: []string{"avg(rss)", "cpu", "host", "highest"}, Rows: []*pb.Row{row("NaN", "1", "a", "2")}}}
	path := "/api/query/rows?query=" + url.QueryEscape("host:highest | stats by (host) avg(cpu) cpu, max(cpu) highest, avg(rss)")
	if code := c.do("GET", path, nil, &a); code != http.StatusOK {
		t.Fatal(code)
	}
	if diff := cmp.Diff([][]string{{"host", "cpu", "highest", "avg(rss)"}, {"a", "1", "2", ""}}, append([][]string{a.Columns}, a.Rows...)); diff != "" {
		t.Error(diff)
	}
	if code := c.do("GET", "/api/query/rows?query=host:(", nil, nil); code != http.StatusBadRequest {
		t.Errorf("a query that cannot be read: %d", code)
	}
	st.rows = []*pb.RowsResponse{{Fields: []string{"text"}, Rows: []*pb.Row{row(strings.Repeat("x", 17<<20))}}}
	var p dashboard.Problem
	if code := c.do("GET", "/api/query/rows?query=host:a", nil, &p); code != http.StatusBadRequest || !strings.Contains(p.Detail, "stats") {
		t.Errorf("a table of 17 MiB: %d %s", code, p.Detail)
	}
}

func TestFieldsAndDays(t *testing.T) {
	st := &scriptedStore{
		names: &pb.FieldNamesResponse{Fields: []*pb.FacetValue{{Value: "process.name", Count: 9}, {Value: "labels.site", Count: 2}}},
		values: &pb.FieldValuesResponse{Facet: &pb.Facet{
			Field: "process.name", Distinct: 40, Values: []*pb.FacetValue{{Value: "nginx", Count: 5}},
		}, Lacks: []*pb.Lack{spoolFull}},
		status: &pb.StatusResponse{State: "degraded", Reasons: []string{"a day is set aside"}, Version: "1", Store: &pb.StoreStatus{
			State: "ok", Events: 12, Bytes: 1200, FreeBytes: 9, Retention: durationpb.New(48 * time.Hour), EngineRestarts: 2,
			Days: []*pb.StoreDay{{Day: "2026-05-02", Events: 12, Bytes: 1200, State: "ok"}, {Day: "2026-05-01", State: "set_aside", Reason: "cut short"}},
		}},
	}
	s, _ := newStoreSite(t, st)
	c := s.signedIn(t, "viewer")
	var fields dashboard.FieldsAnswer
	if code := c.do("GET", "/api/fields", nil, &fields); code != http.StatusOK || len(fields.Fields) < 100 || fields.Fields[0].Events != nil {
		t.Errorf("%d, %d fields", code, len(fields.Fields))
	}
	if code := c.do("GET", "/api/fields?since=1h&query=host:a", nil, &fields); code != http.StatusOK || len(fields.Fields) != 2 {
		t.Fatalf("%d %+v", code, fields)
	}
	if f := fields.Fields[0]; f.Name != "process.name" || *f.Events != 9 || f.Type != "keyword" || f.Description == "" {
		t.Errorf("%+v", f)
	}
	var values dashboard.FieldValues
	if code := c.do("GET", "/api/fields/process.name/values?prefix=ng&limit=3", nil, &values); code != http.StatusOK {
		t.Fatal(code)
	}
	if values.Distinct != 40 || len(values.Values) != 1 || values.Values[0].Value != "nginx" || len(values.Lacks) != 1 {
		t.Errorf("%+v", values)
	}
	if req, _ := st.last().(*pb.FieldValuesRequest); req.GetPrefix() != "ng" || req.GetLimit() != 3 || req.GetSince() == nil {
		t.Errorf("asked %v", req)
	}
	var store dashboard.StoreAnswer
	if code := c.do("GET", "/api/store", nil, &store); code != http.StatusOK {
		t.Fatal(code)
	}
	if store.State != "degraded" || *store.Store.RetentionSeconds != 48*3600 || store.Store.EngineRestarts != 2 ||
		len(store.Store.Days) != 2 || store.Store.Days[1].Reason != "cut short" {
		t.Errorf("%+v", store)
	}
}

func TestExport(t *testing.T) {
	st := &scriptedStore{}
	st.export = func(_ *pb.ExportRequest, stream grpc.ServerStreamingServer[pb.ExportResponse]) error {
		for i, e := range storedEvents(t, "nginx", `=cmd|"x"`) {
			part := &pb.ExportResponse{Events: []*pb.StoredEvent{e}, Done: i == 1}
			if part.GetDone() {
				part.Lacks = []*pb.Lack{spoolFull}
			} else {
				part.Expected = 2
			}
			if err := stream.Send(part); err != nil {
				return err
			}
		}
		return nil
	}
	s, _ := newStoreSite(t, st)
	c := s.signedIn(t, "viewer")
	for format, want := range map[string]struct{ name, ending string }{
		"csv": {"", ".csv"}, "jsonl": {"process.name", ".jsonl"}, "ndjson-ecs": {"process.name", ".ecs.ndjson"}, "ocsf": {"process.name", ".ocsf.jsonl"},
	} {
		t.Run(format, func(t *testing.T) {
			response := c.send("GET", "/api/events/export?since=7d&columns=offset,process.name,pid&format="+format, nil)
			defer response.Body.Close()
			text, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != http.StatusOK {
				t.Fatal(response.StatusCode, err, string(text))
			}
			if d := response.Header.Get("Content-Disposition"); !strings.HasPrefix(d, "attachment; filename=") || !strings.Contains(d, want.ending+`"`) {
				t.Errorf("disposition %q", d)
			}
			trailer := response.Trailer
			if trailer.Get("Export-State") != "complete" || trailer.Get("Export-Events") != "2" || response.Header.Get("Export-Expected") != "2" {
				t.Errorf("trailer %v, header %v", trailer, response.Header)
			}
			var lacks []dashboard.Lack
			if err := json.Unmarshal([]byte(trailer.Get("Export-Lacks")), &lacks); err != nil || len(lacks) != 1 || lacks[0].Reason != spoolFull.GetReason() {
				t.Errorf("lacks %v %v", lacks, err)
			}
			if format == "csv" {
				rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
				if diff := cmp.Diff([][]string{{"offset", "process.name", "pid"}, {"10", "nginx", "1"}, {"11", `'=cmd|"x"`, "2"}}, rows); err != nil || diff != "" {
					t.Error(err, diff)
				}
				return
			}
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			if len(lines) != 2 {
				t.Fatalf("%d lines: %s", len(lines), text)
			}
			for i, name := range []string{"nginx", `=cmd|"x"`} {
				var object map[string]any
				if err := json.Unmarshal([]byte(lines[i]), &object); err != nil || object[want.name] != name {
					t.Errorf("%v: %s", err, lines[i])
				}
			}
		})
	}
	for path, want := range map[string]int{
		"/api/events/export?format=csv":                     http.StatusUnprocessableEntity, // no since
		"/api/events/export?since=1h&format=pdf":            http.StatusUnprocessableEntity,
		"/api/events/export?since=1h&format=csv&query=x:(":  http.StatusBadRequest,
		"/api/events/export?since=yesterday&format=csv":     http.StatusBadRequest,
		"/api/events/export?since=1h&format=csv&limit=-100": http.StatusUnprocessableEntity,
	} {
		if code := c.do("GET", path, nil, nil); code != want {
			t.Errorf("%s: %d, not %d", path, code, want)
		}
	}
}

// TestExportBreaksOff: what is not whole says so in its last line, and its
// connection is cut.
func TestExportBreaksOff(t *testing.T) {
	for name, tt := range map[string]struct {
		format string
		err    error
		want   string
	}{
		"the store fails, CSV":    {"csv", status.Error(codes.Unavailable, "it stops"), "# export broken off after 1 events at"},
		"the store fails, JSON":   {"jsonl", status.Error(codes.Unavailable, "it stops"), `{"export_error":"export broken off after 1 events at`},
		"it ends without a word":  {"jsonl", nil, "the store ended the answer early"},
		"it is too much for ECS":  {"ndjson-ecs", status.Error(codes.ResourceExhausted, "too much"), "too much"},
		"a fault of its own, CSV": {"csv", status.Error(codes.Internal, "a part is damaged"), "a part is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			st := &scriptedStore{export: func(_ *pb.ExportRequest, stream grpc.ServerStreamingServer[pb.ExportResponse]) error {
				if err := stream.Send(&pb.ExportResponse{Events: storedEvents(t, "nginx")}); err != nil {
					return err
				}
				return tt.err
			}}
			s, _ := newStoreSite(t, st)
			response := s.signedIn(t, "viewer").send("GET", "/api/events/export?since=7d&format="+tt.format, nil)
			defer response.Body.Close()
			text, err := io.ReadAll(response.Body)
			if err == nil {
				t.Error("the answer ended as if it were whole")
			}
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			if last := lines[len(lines)-1]; !strings.Contains(last, tt.want) {
				t.Errorf("last line %q", last)
			}
			if response.Trailer.Get("Export-State") != "" {
				t.Error("it says that it is complete")
			}
		})
	}
}

// TestExportsEndWithTheirCaller: when a browser leaves, the store's stream ends, and
// one user has three at a time.
func TestExportsEndWithTheirCaller(t *testing.T) {
	ended := make(chan error, 8)
	st := &scriptedStore{export: func(_ *pb.ExportRequest, stream grpc.ServerStreamingServer[pb.ExportResponse]) error {
		if err := stream.Send(&pb.ExportResponse{Events: storedEvents(t, "nginx")}); err != nil {
			return err
		}
		<-stream.Context().Done()
		ended <- stream.Context().Err()
		return stream.Context().Err()
	}}
	s, _ := newStoreSite(t, st)
	c := s.signedIn(t, "viewer")
	const path = "/api/events/export?since=7d"
	leave := make([]func(), 0, 3)
	for range 3 {
		response := c.send("GET", path, nil)
		defer response.Body.Close()
		body := response.Body
		if _, err := bufio.NewReader(body).ReadString('\n'); err != nil || response.StatusCode != http.StatusOK {
			t.Fatal(response.StatusCode, err)
		}
		leave = append(leave, func() { body.Close() }) // twice does no harm
	}
	var p dashboard.Problem
	if code := c.do("GET", path, nil, &p); code != http.StatusTooManyRequests || !strings.Contains(p.Detail, "3 exports") {
		t.Errorf("a fourth: %d %s", code, p.Detail)
	}
	for _, l := range leave {
		l()
	}
	for range 3 {
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatal("the store was still asked ten seconds after its caller had left")
		}
	}
	eventually(t, "exports are taken again", func() bool {
		response := c.send("GET", path, nil)
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// TestOverviewOfAWeekIsNotCountedAgain: what takes long is asked for once a minute,
// and the newest events each time.
func TestOverviewOfAWeekIsNotCountedAgain(t *testing.T) {
	var later atomic.Int64
	var counted, newest atomic.Int32
	st := &scriptedStore{status: &pb.StatusResponse{Store: &pb.StoreStatus{State: "ok", Events: 5}}}
	st.search = func(req *pb.SearchEventsRequest) (*pb.SearchEventsResponse, error) {
		switch {
		case len(req.GetFacets()) > 0:
			counted.Add(1)
			return &pb.SearchEventsResponse{Total: 3, Facets: []*pb.Facet{{Values: []*pb.FacetValue{{Value: "high", Count: 3}}}}}, nil
		case req.GetNoTotal():
			newest.Add(1)
		}
		return &pb.SearchEventsResponse{}, nil
	}
	s, _ := newStoreSite(t, st, func(o *dashboard.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	})
	c := s.signedIn(t, "viewer")
	for _, step := range []struct {
		after   time.Duration
		counted int32 // in all
	}{{0, 2}, {5 * time.Second, 2}, {30 * time.Second, 2}, {2 * time.Minute, 4}} {
		later.Store(int64(step.after))
		before := newest.Load()
		var o dashboard.Overview
		if code := c.do("GET", "/api/overview?since=7d", nil, &o); code != http.StatusOK || o.Findings.Total != 3 || o.Findings.BySeverity["high"] != 3 {
			t.Fatalf("%d %+v", code, o.Findings)
		}
		if counted.Load() != step.counted || newest.Load() == before {
			t.Errorf("after %s: counted %d times, not %d; newest asked %d times", step.after, counted.Load(), step.counted, newest.Load()-before)
		}
	}
}

func (s *scriptedStore) Series(context.Context, *pb.SeriesRequest) (*pb.SeriesResponse, error) {
	return &pb.SeriesResponse{}, nil
}
