package keeper_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/store/enginetest"
	"github.com/amoskys/amoskys/internal/store/keeper"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// rounds is how often a test of chance tries: few here, as many as the variable says.
func rounds(t *testing.T, variable string, few int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// kill ends the engine and returns once the next one serves.
func kill(t *testing.T, k *keeper.Keeper) keeper.State {
	t.Helper()
	s := k.State()
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	next, err := k.Wait(ctx, s.Starts)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// TestKillsLoseNothingBehindABarrier: the engine is killed while rows come in. All that
// was inserted before the last barrier is there, once, and what came after it can be
// deleted, so that a store that inserts again from there has every row once. As often as
// AMOSKYS_STORE_KILLS says, with the engine writing at barriers alone, as the store has
// it, and every second too.
func TestKillsLoseNothingBehindABarrier(t *testing.T) {
	t.Parallel()
	for _, flush := range []time.Duration{0, time.Second} {
		t.Run("flush "+flush.String(), func(t *testing.T) {
			t.Parallel()
			killUnderInserts(t, flush)
		})
	}
}

func killUnderInserts(t *testing.T, flush time.Duration) {
	r := rand.New(rand.NewPCG(1, 2))
	o := enginetest.Options(t, t.TempDir())
	o.Flags.FlushInterval = flush
	k, _ := enginetest.Run(t, o)
	now := time.Now()
	next, place := 0, 0
	for round := range rounds(t, "AMOSKYS_STORE_KILLS", 3) {
		for range 1 + r.IntN(5) {
			n := 500 + r.IntN(4000)
			insert(t, k.Client(), next, n, now.AddDate(0, 0, -round%4)) // days begin, too
			next += n
			if r.IntN(5) < 2 {
				if err := k.Client().Barrier(t.Context()); err != nil {
					t.Fatal(err)
				}
				place = next
			}
		}
		wait(t, time.Duration(r.IntN(1500))*time.Millisecond) // some of what is in memory goes to disk
		s := kill(t, k)
		if !s.Unclean || len(s.SetAside) > 0 {
			t.Fatalf("round %d: state %+v after a kill", round, s)
		}
		if held := count(t, k.Client(), "offset:<"+strconv.Itoa(place)); held != place {
			t.Fatalf("round %d: %d of the %d rows before the barrier are there", round, held, place)
		}
		if held := count(t, k.Client(), "{host=~\".+\"} offset:<"+strconv.Itoa(place)); held != place {
			t.Fatalf("round %d: by streams, %d of the %d rows before the barrier are there", round, held, place)
		}
		if err := k.Client().Delete(t.Context(), "offset:>="+strconv.Itoa(place)); err != nil {
			t.Fatal(err)
		}
		if err := k.Mended(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if got, want := tally(t, k.Client()), fmt.Sprintf("%d %d", place, place); got != want {
			t.Fatalf("round %d: rows and different offsets %s, want %s", round, got, want)
		}
		t.Logf("round %d: %d inserted, %d behind the barrier", round, next, place)
		if k.State().Unclean {
			t.Fatalf("round %d: mended, and unclean still", round)
		}
		next = place
	}
}

// tally is how many rows there are, and how many different ones.
func tally(t *testing.T, c *vlogs.Client) (out string) {
	t.Helper()
	err := c.Query(t.Context(), vlogs.Query{Text: "* | stats count() n, count_uniq(offset) u"}, func(row []vlogs.Field) error {
		out = row[0].Value + " " + row[1].Value
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wait lets the engine work for a while: nothing that a test asserts depends on it.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
