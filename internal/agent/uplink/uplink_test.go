package uplink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amoskys/amoskys/internal/agent/spool"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func openSpool(t *testing.T, o spool.Options) *spool.Spool {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	o.Age = time.Millisecond
	s, err := spool.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// start runs an uplink until the test ends or the returned function is called.
func start(t *testing.T, o Options) (*Uplink, func()) {
	t.Helper()
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	o.AgentID = "test_agent"
	if o.MaxBackoff == 0 {
		o.MaxBackoff = 20 * time.Millisecond
	}
	u := New(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return u, stop
}

func waitEmpty(t *testing.T, s *spool.Spool) {
	t.Helper()
	select {
	case <-s.Empty():
	case <-time.After(20 * time.Second):
		t.Fatalf("spool does not empty: %+v", s.Stats())
	}
}

// until polls, because sockets and files know no other way.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited too long until %s", what)
		}
	}
}

func appendN(t *testing.T, s *spool.Spool, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := s.Append(fmt.Appendf(nil, "event-%05d", i)); err != nil {
			t.Fatal(err)
		}
	}
}

// wantOnce checks that n events are stored, each once.
func (h *fakeHub) wantOnce(t *testing.T, n int) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.stored) != n {
		t.Errorf("%d events are stored, want %d", len(h.stored), n)
	}
	for _, e := range slices.Sorted(maps.Keys(h.stored)) {
		if h.stored[e] != 1 {
			t.Errorf("%s is stored %d times", e, h.stored[e])
		}
	}
}

func TestEachEventOnceAcrossOutages(t *testing.T) {
	hub := newFakeHub()
	l := listen(t, "127.0.0.1:0")
	addr := l.Addr().String()
	stop := hub.serve(t, l)
	s := openSpool(t, spool.Options{Events: 7})
	u, _ := start(t, Options{Addr: addr, Spool: s})
	const rounds, per = 10, 300
	for i := range rounds {
		before := u.State().Batches
		appendN(t, s, i*per, i*per+per/2)
		until(t, "a batch is acknowledged", func() bool { return u.State().Batches > before })
		stop() // with batches on their way
		appendN(t, s, i*per+per/2, (i+1)*per)
		stop = hub.serve(t, listen(t, addr))
	}
	waitEmpty(t, s)
	defer stop()
	hub.wantOnce(t, rounds*per)
	if !hub.agents["test_agent"] {
		t.Errorf("agents %v", hub.agents)
	}
	if st := u.State(); !st.Connected || st.LastError == "" || st.Connects < 2 {
		t.Errorf("state %+v", st)
	}
}

func TestLostAnswersAreDuplicates(t *testing.T) {
	hub := newFakeHub()
	hub.meddle = func(n int, _ *pb.PublishRequest) (*pb.PublishAck, error) {
		if n%10 == 9 {
			return nil, status.Error(codes.Unavailable, "going away")
		}
		if n%10 >= 5 {
			return &pb.PublishAck{}, nil // answer lost
		}
		return nil, nil
	}
	l := listen(t, "127.0.0.1:0")
	defer hub.serve(t, l)()
	s := openSpool(t, spool.Options{Events: 3})
	u, _ := start(t, Options{Addr: l.Addr().String(), Spool: s, AckTimeout: 200 * time.Millisecond})
	appendN(t, s, 0, 600)
	waitEmpty(t, s)
	hub.wantOnce(t, 600)
	if d := u.State().Duplicates; d == 0 {
		t.Error("no batch was sent again")
	}
}

func TestRetryIsHonoured(t *testing.T) {
	hub := newFakeHub()
	const pause = 120 * time.Millisecond
	var asked time.Time
	hub.meddle = func(n int, req *pb.PublishRequest) (*pb.PublishAck, error) {
		switch {
		case n == 1:
			asked = time.Now()
			fallthrough
		case n == 2:
			return &pb.PublishAck{
				Sequence: req.GetSequence(), Status: pb.PublishAck_STATUS_RETRY,
				Backoff: durationpb.New(pause), Reason: "disk is busy",
			}, nil
		case req.GetSequence() == 1 && time.Since(asked) < pause:
			return nil, errors.New("came again too early")
		}
		return nil, nil
	}
	l := listen(t, "127.0.0.1:0")
	defer hub.serve(t, l)()
	s := openSpool(t, spool.Options{Events: 2})
	appendN(t, s, 0, 10)
	u, _ := start(t, Options{Addr: l.Addr().String(), Spool: s})
	waitEmpty(t, s)
	hub.wantOnce(t, 10)
	if st := u.State(); st.Retries != 2 || st.Connects != 1 {
		t.Errorf("state %+v", st)
	}
}

// TestPutOff: a hub with a nearly full disk stores a small batch and puts off the
// one before, which is to be seen until it is stored.
func TestPutOff(t *testing.T) {
	hub := newFakeHub()
	var full atomic.Bool
	full.Store(true)
	hub.meddle = func(_ int, req *pb.PublishRequest) (*pb.PublishAck, error) {
		if req.GetSequence() != 1 || !full.Load() {
			return nil, nil
		}
		return &pb.PublishAck{
			Sequence: 1, Status: pb.PublishAck_STATUS_RETRY, Backoff: durationpb.New(time.Millisecond), Reason: "disk is full",
		}, nil
	}
	l := listen(t, "127.0.0.1:0")
	defer hub.serve(t, l)()
	s := openSpool(t, spool.Options{Events: 2})
	appendN(t, s, 0, 10)
	u, _ := start(t, Options{Addr: l.Addr().String(), Spool: s})
	until(t, "others are stored and the first is put off again", func() bool {
		st := u.State()
		return st.Batches == 4 && st.Retries > 2
	})
	first := u.State()
	if first.WaitSince.IsZero() || first.WaitReason != "disk is full" {
		t.Errorf("state %+v", first)
	}
	until(t, "it is put off further", func() bool { return u.State().Retries > first.Retries })
	if again := u.State(); again.WaitSince != first.WaitSince {
		t.Errorf("the wait began at %v and then at %v", first.WaitSince, again.WaitSince)
	}
	full.Store(false)
	waitEmpty(t, s)
	if st := u.State(); !st.WaitSince.IsZero() || st.WaitReason != "" {
		t.Errorf("state %+v", st)
	}
	hub.wantOnce(t, 10)
}

func TestRefusedEventsAreCounted(t *testing.T) {
	hub := newFakeHub()
	l := listen(t, "127.0.0.1:0")
	defer serveBus(t, l, refusing{fakeHub: hub})()
	s := openSpool(t, spool.Options{Events: 4})
	appendN(t, s, 0, 8)
	u, _ := start(t, Options{Addr: l.Addr().String(), Spool: s})
	waitEmpty(t, s)
	if got := u.State().Refused; got["too_large"] != 2 || got["wrong_agent"] != 2 {
		t.Errorf("refused %v", got)
	}
}

type refusing struct{ *fakeHub }

func (refusing) Publish(s grpc.BidiStreamingServer[pb.PublishRequest, pb.PublishAck]) error {
	for {
		req, err := s.Recv()
		if err != nil {
			return nil
		}
		_ = s.Send(&pb.PublishAck{Sequence: req.GetSequence(), Status: pb.PublishAck_STATUS_OK, Accepted: 2, Refused: []*pb.RefusedEvent{
			{Index: 0, Reason: pb.RefusalReason_REFUSAL_REASON_TOO_LARGE, Detail: "1 MB"},
			{Index: 1, Reason: pb.RefusalReason_REFUSAL_REASON_WRONG_AGENT},
		}})
	}
}

func TestPoisonousBatchBlocksNothing(t *testing.T) {
	for _, why := range []error{
		status.Error(codes.InvalidArgument, "batch is strange"),
		status.Error(codes.ResourceExhausted, "publish request holds too many events: at most 1 are allowed"),
	} {
		hub := newFakeHub()
		hub.meddle = func(_ int, req *pb.PublishRequest) (*pb.PublishAck, error) {
			if req.GetSequence() == 5 {
				return nil, why
			}
			return nil, nil
		}
		l := listen(t, "127.0.0.1:0")
		stop := hub.serve(t, l)
		s := openSpool(t, spool.Options{Events: 2})
		appendN(t, s, 0, 40)
		u, _ := start(t, Options{Addr: l.Addr().String(), Spool: s})
		waitEmpty(t, s)
		hub.wantOnce(t, 38)
		if got := u.State().Refused["batch"]; got != 2 {
			t.Errorf("refused %d events of the batch, want 2", got)
		}
		stop()
	}
}

// TestSpoolFromACopy: a spool that was put back from a copy gives out numbers
// that the hub has seen with other events, or can no longer tell.
func TestSpoolFromACopy(t *testing.T) {
	for _, since := range []int{20, 2000} { // batches since the copy was made
		t.Run(fmt.Sprint(since), func(t *testing.T) {
			hub := newFakeHub()
			top := map[string]uint64{}
			hub.meddle = func(_ int, req *pb.PublishRequest) (*pb.PublishAck, error) {
				id := string(req.GetProducerId())
				if req.GetSequence()+1024 <= top[id] {
					return nil, status.Error(codes.FailedPrecondition, "send it with a new producer_id")
				}
				top[id] = max(top[id], req.GetSequence())
				return nil, nil
			}
			l := listen(t, "127.0.0.1:0")
			defer hub.serve(t, l)()
			dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "copy")
			live := func(from, to int) {
				s := openSpool(t, spool.Options{Dir: dir, Events: 1, BootID: "b"})
				_, stop := start(t, Options{Addr: l.Addr().String(), Spool: s})
				appendN(t, s, from, to)
				waitEmpty(t, s)
				stop()
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			live(0, 10)
			if err := os.CopyFS(backup, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			live(10, 10+since)
			dir = backup
			live(10+since, 10+since+50)
			hub.wantOnce(t, 10+since+50)
		})
	}
}

func TestSilentHubIsGivenUp(t *testing.T) {
	hub := newFakeHub()
	hub.meddle = func(n int, _ *pb.PublishRequest) (*pb.PublishAck, error) {
		if n == 1 {
			return &pb.PublishAck{}, nil
		}
		return nil, nil
	}
	l := listen(t, "127.0.0.1:0")
	defer hub.serve(t, l)()
	s := openSpool(t, spool.Options{Events: 2})
	appendN(t, s, 0, 2)
	u, _ := start(t, Options{Addr: l.Addr().String(), Spool: s, AckTimeout: 50 * time.Millisecond})
	waitEmpty(t, s)
	hub.wantOnce(t, 2)
	if st := u.State(); st.LastError != errSilent.Error() || st.Duplicates != 1 {
		t.Errorf("state %+v", st)
	}
}

func TestNoHubIsReportedAndPaced(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	addr := l.Addr().String()
	_ = l.Close()
	s := openSpool(t, spool.Options{})
	u, stop := start(t, Options{Addr: addr, Spool: s})
	until(t, "an error is reported", func() bool { return u.State().LastError != "" })
	stop()
	if st := u.State(); st.Connected || st.Since.IsZero() {
		t.Errorf("state %+v", st)
	}
}

func TestPauseGrowsToItsBound(t *testing.T) {
	u := New(Options{MaxBackoff: 10 * time.Second})
	for attempt := range 40 {
		limit := min(10*time.Second, 200*time.Millisecond<<min(attempt, 16))
		for range 50 {
			if p := u.pause(attempt, errors.New("x")); p < 0 || p > limit {
				t.Fatalf("attempt %d pauses %v, bound %v", attempt, p, limit)
			}
		}
	}
	if p := u.pause(0, status.Error(codes.PermissionDenied, "no")); p < 5*time.Second {
		t.Errorf("a hub that says no is asked again after %v", p)
	}
}
