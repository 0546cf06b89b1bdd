package uplink

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/agent/spool"
	"github.com/amoskys/amoskys/internal/codec"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestCodecsAreNegotiated: what a hub does not say that it takes is not sent to it,
// and whatever it is, each event is stored once.
func TestCodecsAreNegotiated(t *testing.T) {
	for _, tt := range []struct {
		name, codecs string
		late, forget bool
		codec        codec.Codec
		packed       bool // batches come packed
		short        bool // answers account for too few events
	}{
		{name: "hub that says nothing"},
		{name: "hub that says at once", codecs: "s2", codec: codec.S2, packed: true},
		{name: "hub that says with its first answer", codecs: "zstd, s2", late: true, codec: codec.S2, packed: true},
		{name: "hub with codecs of the future", codecs: "zstd,s3"},
		{name: "hub that says so and skips them", codecs: "s2", forget: true, codec: codec.S2, packed: true, short: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hub := newFakeHub()
			hub.codecs, hub.late, hub.forget = tt.codecs, tt.late, tt.forget
			l := listen(t, "127.0.0.1:0")
			defer hub.serve(t, l)()
			s := openSpool(t, spool.Options{Events: 10})
			u, _ := start(t, Options{Addr: l.Addr().String(), Spool: s})
			appendN(t, s, 0, 200)
			waitEmpty(t, s)
			hub.wantOnce(t, 200)
			st := u.State()
			hub.mu.Lock()
			defer hub.mu.Unlock()
			if hub.packed > 0 != tt.packed || st.Short > 0 != tt.short || st.Codec != tt.codec {
				t.Errorf("%d batches came packed, state %+v", hub.packed, st)
			}
			if !tt.packed && st.Unpacked < 20 || tt.packed && !tt.short && st.Unpacked > 1 {
				t.Errorf("%d batches were unpacked", st.Unpacked)
			}
			if st.Connects != 1 || !st.WaitSince.IsZero() {
				t.Errorf("state %+v", st)
			}
		})
	}
}

// TestHubIsDowngraded: with batches on their way to a hub that takes codecs, one that
// does not comes in its place, and the reverse.
func TestHubIsDowngraded(t *testing.T) {
	hub := newFakeHub()
	l := listen(t, "127.0.0.1:0")
	addr := l.Addr().String()
	s := openSpool(t, spool.Options{Events: 5})
	u, _ := start(t, Options{Addr: addr, Spool: s})
	const rounds, per = 8, 200
	for i := range rounds {
		hub.mu.Lock()
		hub.codecs = []string{"s2", ""}[i%2]
		hub.mu.Unlock()
		if l == nil {
			l = listen(t, addr)
		}
		stop := hub.serve(t, l)
		before := u.State().Batches
		appendN(t, s, i*per, (i+1)*per)
		until(t, "batches are acknowledged", func() bool { return u.State().Batches > before+5 })
		stop() // with batches on their way
		l = nil
	}
	defer hub.serve(t, listen(t, addr))()
	waitEmpty(t, s)
	hub.wantOnce(t, rounds*per)
	if hub.packed == 0 || u.State().Unpacked == 0 || u.State().Short > 0 {
		t.Errorf("%d packed, state %+v", hub.packed, u.State())
	}
}

// TestHubThatCannotUnpack: one that ends the stream over packed batches costs none.
func TestHubThatCannotUnpack(t *testing.T) {
	for _, refusal := range []error{
		status.Error(codes.InvalidArgument, "packed bytes are damaged"),
		status.Error(codes.ResourceExhausted, "publish request is larger than max when unpacked"),
	} {
		hub := newFakeHub()
		hub.codecs = "s2"
		hub.meddle = func(_ int, req *pb.PublishRequest) (*pb.PublishAck, error) {
			if len(req.GetCompressed()) > 0 {
				return nil, refusal
			}
			return nil, nil
		}
		l := listen(t, "127.0.0.1:0")
		stop := hub.serve(t, l)
		s := openSpool(t, spool.Options{Events: 10})
		u, _ := start(t, Options{Addr: l.Addr().String(), Spool: s})
		appendN(t, s, 0, 500)
		waitEmpty(t, s)
		hub.wantOnce(t, 500)
		if st := u.State(); st.RefusedTotal() > 0 || st.Connects != 2 || st.Codec != codec.None {
			t.Errorf("state %+v", st)
		}
		stop()
	}
}

// TestShortAnswers: an answer that does not account for all events is never taken for
// stored, however often it comes, and people are told.
func TestShortAnswers(t *testing.T) {
	for _, codecs := range []string{"", "s2"} {
		hub := &shortHub{fakeHub: newFakeHub()}
		hub.codecs = codecs
		hub.short.Store(3)
		l := listen(t, "127.0.0.1:0")
		stop := serveBus(t, l, hub)
		s := openSpool(t, spool.Options{Events: 4})
		u, _ := start(t, Options{Addr: l.Addr().String(), Spool: s})
		appendN(t, s, 0, 4)
		until(t, "it comes again", func() bool { return u.State().Short == 2 })
		if st := u.State(); s.Stats().Events != 4 || !strings.Contains(st.WaitReason, "4 events") || st.Batches != 0 {
			t.Errorf("state %+v", st)
		}
		waitEmpty(t, s)
		if st := u.State(); st.Short != 3 || st.WaitReason != "" || st.Batches != 1 || hub.packed > 1 {
			t.Errorf("state %+v, %d came packed", st, hub.packed)
		}
		hub.wantOnce(t, 4)
		stop()
	}
}

// TestShortAndThenDuplicate: a hub that stored only some events of a batch, and knows
// its number when it comes again, gets them under another producer id.
func TestShortAndThenDuplicate(t *testing.T) {
	hub := newFakeHub()
	var first atomic.Bool
	hub.meddle = func(_ int, req *pb.PublishRequest) (*pb.PublishAck, error) {
		if len(req.GetEvents()) > 2 && !first.Swap(true) {
			req.Events = req.GetEvents()[:2] // it loses the others
		}
		return nil, nil
	}
	l := listen(t, "127.0.0.1:0")
	defer hub.serve(t, l)()
	s := openSpool(t, spool.Options{Events: 4})
	appendN(t, s, 0, 4)
	u, _ := start(t, Options{Addr: l.Addr().String(), Spool: s, AckTimeout: 5 * time.Second})
	waitEmpty(t, s)
	hub.mu.Lock()
	defer hub.mu.Unlock()
	if len(hub.stored) != 4 || u.State().Short != 1 {
		t.Errorf("stored %v, state %+v", hub.stored, u.State())
	}
}

// shortHub accounts for no event so many times.
type shortHub struct {
	*fakeHub
	short atomic.Int32
}

// Publish implements the bus.
func (h *shortHub) Publish(s grpc.BidiStreamingServer[pb.PublishRequest, pb.PublishAck]) error {
	if err := h.announce(s); err != nil {
		return err
	}
	for {
		req, err := s.Recv()
		if err != nil {
			return nil
		}
		ack := &pb.PublishAck{Sequence: req.GetSequence(), Status: pb.PublishAck_STATUS_OK}
		if h.short.Add(-1) < 0 {
			if ack, err = h.take(nil, req); err != nil {
				return err
			}
		}
		if err := s.Send(ack); err != nil {
			return err
		}
	}
}
