package answers_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/logsql/row"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/answers"
	"github.com/amoskys/amoskys/internal/store/enginetest"
	"github.com/amoskys/amoskys/internal/store/keeper"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// now is when all of these tests are: noon, so that a day is in the middle.
var now = time.Date(2026, 5, 10, 12, 0, 0, 0, time.UTC)

// store is a service over a real engine, with what a test says of its state.
type store struct {
	*answers.Service

	keeper *keeper.Keeper
	writer *row.Writer
	rows   vlogs.Rows
	next   uint64
	log    uint64

	mu     sync.Mutex
	status *pb.StoreStatus
	hub    *pb.StatusResponse
	gaps   []answers.Gap
	unread func() (string, time.Time)
}

func newStore(tb testing.TB, limits answers.Limits) *store {
	tb.Helper()
	return newStoreOver(enginetest.Start(tb), limits)
}

// newStoreOver is newStore over an engine that runs.
func newStoreOver(k *keeper.Keeper, limits answers.Limits) *store {
	st := &store{
		keeper: k, writer: row.NewWriter(row.Bounds{Past: 100 * 365 * 24 * time.Hour, Future: 100 * 365 * 24 * time.Hour}),
		status: &pb.StoreStatus{State: "ok"}, hub: &pb.StatusResponse{}, unread: func() (string, time.Time) { return "", time.Time{} },
	}
	st.Service = st.service(limits, nil)
	return st
}

// service is another service over the same engine.
func (st *store) service(limits answers.Limits, caller func(context.Context) string) *answers.Service {
	limits.StatusAge, limits.FlushEvery = 1, 1
	return answers.New(answers.Options{
		Engine: st.keeper.Client(), Log: func() uint64 { return st.log }, Limits: limits, Caller: caller, Now: func() time.Time { return now },
		Status: func() *pb.StoreStatus { st.mu.Lock(); defer st.mu.Unlock(); return st.status },
		Gaps:   func() []answers.Gap { st.mu.Lock(); defer st.mu.Unlock(); return st.gaps },
		Unread: func() (string, time.Time) { return st.unread() },
		Hub:    func(context.Context) (*pb.StatusResponse, error) { return st.hub, nil },
	})
}

// add buffers an event for the next offset and returns the offset.
func (st *store) add(tb testing.TB, ev *pb.Event) uint64 {
	tb.Helper()
	if len(ev.GetId()) == 0 {
		ev.Id = fmt.Appendf(nil, "%016d", st.next)
	}
	encoded, err := event.Encode(ev)
	if err != nil {
		tb.Fatal(err)
	}
	const publisher = "spiffe://amoskys.local/agent/web-1"
	r, err := st.writer.Row(encoded, publisher, st.next, event.Time(ev).Add(time.Millisecond))
	if err != nil {
		tb.Fatal(err)
	}
	addRow(&st.rows, r)
	st.next++
	if st.rows.Bytes() > 8<<20 {
		st.insert(tb)
	}
	return st.next - 1
}

// insert gives the engine what add buffered.
func (st *store) insert(tb testing.TB) {
	tb.Helper()
	if st.rows.Len() == 0 {
		return
	}
	if err := st.keeper.Client().Insert(tb.Context(), &st.rows); err != nil {
		tb.Fatal(err)
	}
	st.rows.Reset()
}

// flush makes all that was added visible, and stored.
func (st *store) flush(tb testing.TB) {
	tb.Helper()
	st.insert(tb)
	if err := st.keeper.Client().Barrier(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	st.set(func(s *pb.StoreStatus) { s.NextOffset = st.next })
}

// set changes the status.
func (st *store) set(change func(*pb.StoreStatus)) {
	st.mu.Lock()
	defer st.mu.Unlock()
	next := &pb.StoreStatus{
		State: st.status.GetState(), NextOffset: st.status.GetNextOffset(), Days: st.status.GetDays(), OldestTime: st.status.GetOldestTime(),
		Retention: st.status.GetRetention(), LagEvents: st.status.GetLagEvents(), Reason: st.status.GetReason(),
	}
	change(next)
	st.status = next
}

// execution is an event of a process that started.
func execution(at time.Time, host, name string) *pb.Event {
	return &pb.Event{
		Type: "process.execution", Time: timestamppb.New(at), Host: &pb.Host{Name: host}, Agent: &pb.Agent{Id: "proc_agent"},
		Severity: pb.Severity_SEVERITY_INFORMATIONAL, Message: name + " started",
		Body: &pb.Event_Process{Process: &pb.ProcessActivity{Process: &pb.Process{
			Name: name, Pid: 100, Uid: host + "/" + name, CmdLine: "/usr/bin/" + name + " --quick",
		}}},
	}
}

func offsets(events []*pb.StoredEvent) []uint64 {
	list := make([]uint64, len(events))
	for i, e := range events {
		list[i] = e.GetOffset()
	}
	return list
}

func query(text string) *pb.Filter { return &pb.Filter{Query: text} }

func lackTexts(lacks []*pb.Lack) string {
	texts := make([]string, len(lacks))
	for i, l := range lacks {
		texts[i] = fmt.Sprintf("%s %d %s", l.GetPlace(), l.GetCount(), l.GetReason())
	}
	return strings.Join(texts, "\n")
}

// addRow gives a row to the engine's buffer.
func addRow(rows *vlogs.Rows, r *row.Row) {
	stream := make([]vlogs.Field, len(r.Stream))
	for i, f := range r.Stream {
		stream[i] = vlogs.Field{Name: f.Name, Value: string(f.Value)}
	}
	rows.Begin(stream, r.Time)
	for _, f := range r.Fields {
		rows.Field(f.Name, f.Value)
	}
}
