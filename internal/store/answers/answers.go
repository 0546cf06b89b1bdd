// Package answers is the store's Query service: it answers questions about stored
// events out of the engine, and says in each answer what the answer lacks.
//
// Three things hold for all of it. No answer rests on the engine's streams alone,
// because the engine may forget a stream whose rows it kept; fields decide. The
// engine is never made to wait for a client: what it says is taken into memory of
// bounded size first, and a query that would not fit is ended. And an answer that
// was cut, by time, by memory or by the engine's end, is an error or has a lack:
// it never looks whole.
//
// Wiring, in internal/app:
//
//	service := answers.New(answers.Options{
//		Engine: keeper.Client(), Status: status, Hub: hub.Status,
//	})
//	pb.RegisterQueryServer(server, service)
package answers

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amoskys/amoskys/internal/limit"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// Engine is what is asked; *vlogs.Client and *cluster.Client are such.
type Engine interface {
	Query(ctx context.Context, q vlogs.Query, each func(row []vlogs.Field) error) error
	// Flush lets queries find all that was inserted before it.
	Flush(ctx context.Context) error
	// Days are those that may have events, as vlogs.DayFormat has them, oldest first.
	Days(ctx context.Context) ([]string, error)
}

// Options are what the service reads from.
type Options struct {
	Engine Engine
	// Status says how the store is. It may be costly: it is asked at most once a second.
	Status func() *pb.StoreStatus
	// Next is the offset before which the engine was given every event that the log had.
	// Events from there on are not part of any answer, even where the engine has some
	// already, so that a subscription which begins there joins without gap and repetition.
	// Nil is Status().NextOffset.
	Next func() uint64
	// Offer has the engine given what was held back, as nobody had asked, and reports whether
	// there was something. Nil: nothing is held back.
	Offer func(context.Context) bool
	// Log is the number of the log that Next is of (row.Writer.Log): offsets begin anew in
	// each, and all events of those before count as stored. Nil: there is one alone, 0.
	Log func() uint64
	// Away says why the engine cannot be asked now although it runs, "" where it can: who
	// asks then hears it at once. Nil: it always can.
	Away func() string
	// Lacks are what the store itself knows it does not have of a range; zero times are no
	// bounds. Nil: Status tells.
	Lacks func(since, until time.Time) []*pb.Lack
	// Unread says why the log is not read now, and since when; "" where it is. Nil: it always is.
	Unread func() (why string, since time.Time)
	// Doubt is told of a day, as vlogs.DayFormat has it, of which a row cannot have been written
	// as it is. Nil: nobody is.
	Doubt func(day string)
	// Gaps are the ranges of the log that were gone when the store came to read them;
	// nil: none are known.
	Gaps func() []Gap
	// Hub asks the hub for its Status, whose losses every answer names; nil: there is
	// no hub to ask. It is called at most every ten seconds.
	Hub func(ctx context.Context) (*pb.StatusResponse, error)
	// Caller says whose share of Limits a call is of, such as
	// store.CallerOf(ctx).Key(); nil: all are one caller's.
	Caller func(ctx context.Context) string
	Limits Limits
	// Memory is shared with others that answer; nil: one by Limits.
	Memory  *limit.Budget
	Version string
	Now     func() time.Time
}

// Gap is a range of the log that was gone when the store came to read it.
type Gap struct {
	From, To uint64 // To is the first offset behind it
	Reason   string // for people
	Noticed  time.Time
}

// Service implements the Query service.
type Service struct {
	pb.UnimplementedQueryServer
	o       Options
	began   time.Time
	gate    *gate
	memory  *limit.Budget
	places  places
	visible visible
	status  known
	losses  losses
	reports reports
}

// New returns the service.
func New(o Options) *Service {
	o.Limits = o.Limits.orDefault()
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Gaps == nil {
		o.Gaps = func() []Gap { return nil }
	}
	if o.Next == nil {
		o.Next = func() uint64 { return o.Status().GetNextOffset() }
	}
	if o.Offer == nil {
		o.Offer = func(context.Context) bool { return false }
	}
	if o.Log == nil {
		o.Log = func() uint64 { return 0 }
	}
	if o.Away == nil {
		o.Away = func() string { return "" }
	}
	if o.Caller == nil {
		o.Caller = func(context.Context) string { return "" }
	}
	if o.Memory == nil {
		o.Memory = limit.NewBudget(int64(o.Limits.Held), int64(o.Limits.HeldOfCaller))
	}
	return &Service{
		o: o, began: o.Now(), gate: newGate(o.Limits), memory: o.Memory,
		losses: losses{ranges: map[[2]uint64]span{}}, reports: reports{known: map[span]report{}},
	}
}

// Memory is what answers to all callers hold together, within Limits.Held. Who sends an
// answer counts there what its client has not read yet.
func (s *Service) Memory() *limit.Budget { return s.memory }

// known is a status that is not older than Limits.StatusAge.
type known struct {
	mu     sync.Mutex
	status *pb.StoreStatus
	at     time.Time
	// tails are where the log ended some seconds ago, oldest first.
	tails []tail
}

type tail struct {
	at   time.Time
	next uint64
}

// behindAfter is how long an event may be on its way before its lack is worth a word.
const behindAfter = 5 * time.Second

// note remembers where the log ends, and what it may forget it forgets: all but the
// last before behindAfter.
func (k *known) note(s *pb.StoreStatus, at time.Time) {
	k.status, k.at = s, at
	k.tails = append(k.tails, tail{at, s.GetNextOffset() + s.GetLagEvents()})
	for len(k.tails) > 1 && at.Sub(k.tails[1].at) >= behindAfter {
		k.tails = k.tails[1:]
	}
}

// forget has the store asked anew.
func (k *known) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.status = nil
}

// isBehind says that something of what the log had behindAfter ago is not stored.
func (k *known) isBehind() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status != nil && len(k.tails) > 0 && k.at.Sub(k.tails[0].at) >= behindAfter && k.status.GetNextOffset() < k.tails[0].next
}

// stateOf says how the store is.
func (s *Service) stateOf() *pb.StoreStatus {
	s.status.mu.Lock()
	defer s.status.mu.Unlock()
	if now := time.Now(); s.status.status == nil || now.Sub(s.status.at) >= s.o.Limits.StatusAge {
		s.status.note(s.o.Status(), now)
	}
	return s.status.status
}

// visible is what queries find.
type visible struct {
	mu sync.Mutex // guards what follows; nobody holds it while the engine works
	place
	at   time.Time // when it was looked at
	high place     // the highest that ever was
	// flushing is closed when the engine has shown what it has; nil while it is not asked.
	flushing chan struct{}
}

// place is an offset of a log.
type place struct{ log, next uint64 }

// stored is the offset before which queries find every event that the log had, and how many
// behind it they once found already: the engine ended, and is given again what it may not
// have kept. One caller has the engine show it, and the others wait for that no longer than
// they may.
func (s *Service) stored(ctx context.Context) (p place, again uint64, err error) {
	if s.o.Offer(ctx) {
		s.status.forget()
	}
	v := &s.visible
	for {
		v.mu.Lock()
		next := s.place()
		if next == v.place || next.log == v.log && next.next > v.next && time.Since(v.at) < s.o.Limits.FlushEvery {
			defer v.mu.Unlock()
			return v.place, v.again(), nil
		}
		if other := v.flushing; other != nil {
			v.mu.Unlock()
			select {
			case <-other:
				continue
			case <-ctx.Done():
				return place{}, 0, s.fault(ctx, ctx.Err())
			}
		}
		done := make(chan struct{})
		v.flushing = done
		v.mu.Unlock()
		err := s.o.Engine.Flush(ctx)
		v.mu.Lock()
		defer v.mu.Unlock()
		v.flushing = nil
		close(done)
		if err != nil {
			return place{}, 0, s.fault(ctx, err)
		}
		v.place, v.at = next, time.Now()
		if next.log != v.high.log || next.next > v.high.next {
			v.high = next
		}
		return next, v.again(), nil
	}
}

// again is by how much the place was higher before. The caller holds mu.
func (v *visible) again() uint64 {
	if v.high.log != v.log {
		return 0
	}
	return v.high.next - min(v.high.next, v.next)
}

// place is what the engine was given, of one and the same log.
func (s *Service) place() place {
	for {
		p := place{s.o.Log(), s.o.Next()}
		if s.o.Log() == p.log {
			return p
		}
	}
}

// Status says how the store is.
func (s *Service) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	store := s.o.Status()
	response := &pb.StatusResponse{
		State: store.GetState(), Version: s.o.Version, Uptime: durationpb.New(s.o.Now().Sub(s.began)),
		EventsTotal: store.GetEvents(), Store: store,
	}
	if store.GetReason() != "" {
		response.Reasons = []string{store.GetReason()}
	}
	return response, nil
}

// Metrics are not the store's to give here.
func (*Service) Metrics(context.Context, *pb.MetricsRequest) (*pb.MetricsResponse, error) {
	return nil, status.Error(codes.Unimplemented, "the hub serves metrics by gRPC: ask it; the store's own are at GET /metrics on its metrics port")
}

// places remembers when events were that were shown of late, by offset: who looks at
// one of them asks by its offset alone, and the engine finds it 100 times faster by
// its time.
type places struct {
	mu   sync.Mutex
	time map[uint64]int64
	old  map[uint64]int64
}

// maxPlaces bounds each of the two generations.
const maxPlaces = 8_192

func (p *places) note(keys []key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range keys {
		if len(p.time) >= maxPlaces || p.time == nil {
			p.old, p.time = p.time, make(map[uint64]int64, maxPlaces)
		}
		p.time[k.offset] = k.time
	}
}

func (p *places) find(offset uint64) (at int64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at, ok = p.time[offset]; !ok {
		at, ok = p.old[offset]
	}
	return at, ok
}
