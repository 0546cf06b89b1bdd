package answers

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestGate: of one caller's questions some are answered at once, some wait, and more
// are refused; others are not concerned.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(Limits{Running: 2, Waiting: 1, Engine: 1})
		var leave [2]func()
		for i := range leave {
			l, err := g.enter(t.Context(), share{"a", heavy})
			if err != nil {
				t.Fatal(err)
			}
			leave[i] = l
		}
		entered := make(chan error)
		wait := func(d time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			l, err := g.enter(ctx, share{"a", heavy})
			if err == nil {
				l()
			}
			entered <- err
		}
		go wait(time.Hour)
		synctest.Wait()
		if _, err := g.enter(t.Context(), share{"a", heavy}); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "wait for them") {
			t.Errorf("one too many: %v", err)
		}
		for _, other := range []share{{"b", heavy}, {"a", light}, {"a", export}} {
			l, err := g.enter(t.Context(), other)
			if err != nil {
				t.Fatalf("%v: %v", other, err)
			}
			l()
		}
		leave[0]()
		if err := <-entered; err != nil {
			t.Errorf("the one that waited: %v", err)
		}
		l, err := g.enter(t.Context(), share{"a", heavy})
		if err != nil {
			t.Fatal(err)
		}
		go wait(time.Second)
		if err := <-entered; status.Code(err) != codes.ResourceExhausted {
			t.Errorf("one that waited in vain: %v", err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := g.enter(gone, share{"a", heavy}); status.Code(err) != codes.Canceled {
			t.Errorf("one that is gone: %v", err)
		}
		l()
		leave[1]()
		if len(g.callers) > 0 {
			t.Errorf("%d callers are remembered", len(g.callers))
		}
	})
}

// TestTurnsOfTheEngine: who asks much has half of them, and others need not wait for it.
func TestTurnsOfTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(Limits{Engine: 4})
		var done []func()
		for range 2 {
			d, err := g.turn(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			done = append(done, d)
		}
		late := make(chan error)
		gone, leave := context.WithCancel(t.Context())
		for _, ctx := range []context.Context{gone, t.Context()} {
			go func() {
				d, err := g.turn(ctx, "a")
				if err == nil {
					d()
				}
				late <- err
			}()
			synctest.Wait()
		}
		for _, who := range []string{"b", "c"} {
			d, err := g.turn(t.Context(), who)
			if err != nil {
				t.Fatal(err)
			}
			done = append(done, d)
		}
		leave()
		if err := <-late; err == nil {
			t.Error("one that left had its turn")
		}
		for _, d := range done {
			d()
		}
		if err := <-late; err != nil {
			t.Errorf("one that waited: %v", err)
		}
		if len(g.asking)+len(g.engine) > 0 {
			t.Errorf("%d callers and %d turns are remembered", len(g.asking), len(g.engine))
		}
	})
}

func FuzzToken(f *testing.F) {
	first := &pb.SearchEventsRequest{Filter: &pb.Filter{Query: "x"}}
	f.Add(token{key{1, 2}, 3}.encode(first))
	f.Add("")
	f.Add("AQAAAAAAAAABAAAAAAAAAAIAAAAAAAAAA____w")
	f.Fuzz(func(t *testing.T, text string) {
		req := &pb.SearchEventsRequest{Filter: first.GetFilter(), Page: text}
		got, err := parseToken(req)
		if err != nil {
			if status.Code(err) != codes.InvalidArgument {
				t.Fatal(err)
			}
			return
		}
		if again := got.encode(req); again != text {
			t.Fatalf("%q is %v, which is %q", text, got, again)
		}
	})
}

func TestIncrease(t *testing.T) {
	count := func(r reported) (least, most uint64) { return r.least, r.most }
	for name, tc := range map[string]struct {
		list []reported
		want uint64
	}{
		"nothing":          {nil, 0},
		"from before":      {[]reported{{least: 9, most: 9}}, 0},
		"within one part":  {[]reported{{least: 4, most: 9}}, 5},
		"over parts":       {[]reported{{least: 4, most: 9}, {least: 9, most: 12}}, 8},
		"begun anew":       {[]reported{{least: 9, most: 9}, {least: 0, most: 3}}, 3},
		"begun anew, more": {[]reported{{least: 9, most: 10}, {least: 1, most: 2}, {least: 2, most: 5}}, 6},
	} {
		if got := increase(tc.list, count); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

func TestWindows(t *testing.T) {
	const hour = int64(time.Hour)
	q := &question{now: 100 * hour, held: []span{{0, 24 * hour}, {72 * hour, 120 * hour}}}
	for _, oldest := range []bool{false, true} {
		var walked int64
		var last span
		n := 0
		for w := range q.windows(oldest) {
			if w.empty() || n > 0 && (w.since < last.until) != !oldest {
				t.Errorf("oldest first %v: %v after %v", oldest, w, last)
			}
			walked += w.until - w.since
			last = w
			n++
		}
		if walked != 72*hour || n > 12 {
			t.Errorf("oldest first %v: %d hours in %d windows", oldest, walked/hour, n)
		}
	}
}
