package hub

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amoskys/amoskys/internal/hub/admit"
)

// TestRoomIsShared: who has its share waits for itself alone; when all is taken, all
// wait in turn, and what was taken of a share meanwhile is given back.
func TestRoomIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(10, 25)
		enter := func(who string, n int64) error { return r.enter(t.Context(), who, n, time.Second) }
		if err := errors.Join(enter("a", 10), enter("b", 10)); err != nil {
			t.Fatal(err)
		}
		if err := enter("a", 1); !errors.Is(err, admit.ErrGateTimeout) {
			t.Errorf("beyond its share: %v", err)
		}
		if err := enter("c", 5); err != nil {
			t.Errorf("another: %v", err)
		}
		if err := enter("d", 5); !errors.Is(err, admit.ErrGateTimeout) {
			t.Errorf("when all is taken: %v", err)
		}
		if used, most := r.used(), r.own.most(); used != 25 || most != 10 {
			t.Errorf("%d used, %d of one", used, most)
		}
		gone, leave := context.WithCancel(t.Context())
		waits := make(chan error, 1)
		go func() { waits <- r.enter(gone, "e", 5, time.Hour) }()
		synctest.Wait()
		leave()
		if err := <-waits; !errors.Is(err, context.Canceled) {
			t.Errorf("who goes while waiting: %v", err)
		}
		go func() { waits <- r.enter(t.Context(), "f", 10, time.Hour) }()
		synctest.Wait()
		r.leave("a", 10)
		if err := <-waits; err != nil {
			t.Error(err)
		}
		r.leave("b", 10)
		r.leave("c", 5)
		r.leave("f", 10)
		if used, most := r.used(), r.own.most(); used != 0 || most != 0 || len(r.own.gates) != 0 {
			t.Errorf("%d used, %d of one, %d shares are left", used, most, len(r.own.gates))
		}
	})
}

// TestRoomsGrowWithMessages: a few of the largest fit whatever the configuration
// allows, and one of them at a time is unpacked of an identity.
func TestRoomsGrowWithMessages(t *testing.T) {
	for _, message := range []int64{320 << 10, 1088 << 10, 32 << 20} {
		r := newRooms(16<<20, message, time.Second)
		own, all := r.unpacked.own.limit, r.unpacked.all.Limit()
		if own < message || own >= 2*max(message, unpackedOfIdentity) || all < 8*own || r.arrived.limit < 4*message {
			t.Errorf("messages of %d bytes: %d of one, %d of all unpacked, %d arrived", message, own, all, r.arrived.limit)
		}
	}
}
