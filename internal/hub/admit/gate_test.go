package admit_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amoskys/amoskys/internal/hub/admit"
)

func TestGateLetsInWhatFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := admit.NewGate(100)
		enter := func(n int64) error { return g.Enter(t.Context(), n, time.Second) }
		if err := errors.Join(enter(60), enter(40)); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := enter(1); !errors.Is(err, admit.ErrGateTimeout) || time.Since(begin) != time.Second {
			t.Errorf("a full gate: %v after %v", err, time.Since(begin))
		}
		g.Leave(40)
		if err := enter(40); err != nil {
			t.Error(err)
		}
		g.Leave(100)
		if err := enter(1000); err != nil {
			t.Errorf("one that is larger than the gate must pass alone: %v", err)
		}
		if err := enter(1); !errors.Is(err, admit.ErrGateTimeout) {
			t.Errorf("beside it: %v", err)
		}
	})
}

func TestGateIsFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := admit.NewGate(10)
		if err := g.Enter(t.Context(), 10, time.Second); err != nil {
			t.Fatal(err)
		}
		if err := g.Enter(t.Context(), 1, time.Second); err == nil {
			t.Error("a small one overtook")
		}
		var order []int // in the order of being let in; no two fit at once
		for i, n := range []int64{9, 2, 9} {
			go func() {
				if err := g.Enter(t.Context(), n, time.Minute); err != nil {
					t.Error(err)
				}
				order = append(order, i)
				time.AfterFunc(time.Second, func() { g.Leave(n) })
			}()
			synctest.Wait()
		}
		if _, waiting := g.Used(); waiting != 3 {
			t.Errorf("%d wait", waiting)
		}
		g.Leave(10)
		<-time.After(10 * time.Second)
		if !slices.Equal(order, []int{0, 1, 2}) {
			t.Errorf("order %v", order)
		}
		if used, _ := g.Used(); used != 0 {
			t.Errorf("%d bytes are left inside", used)
		}
	})
}

func TestGateForgetsThoseWhoLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := admit.NewGate(10)
		if err := g.Enter(t.Context(), 8, time.Second); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- g.Enter(ctx, 10, time.Hour) }()
		synctest.Wait()
		go func() { second <- g.Enter(t.Context(), 2, time.Hour) }()
		synctest.Wait()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("first: %v", err)
		}
		if err := <-second; err != nil {
			t.Errorf("the one behind it fits now: %v", err)
		}
	})
}
