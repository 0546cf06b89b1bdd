package stream_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/stream/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// follow reads to the end and writes down what it got: batches and gaps by number.
func follow(ctx context.Context, t *testing.T, f *stream.Follower) string {
	t.Helper()
	var out []string
	for {
		e, ok, err := f.TryNext(ctx)
		gap, gone := errors.AsType[*stream.Gap](err)
		switch {
		case gone:
			out = append(out, fmt.Sprintf("%s %d-%d", gap.Cause, (gap.From+0xffff)>>16, (gap.To+0xffff)>>16))
		case err != nil:
			out = append(out, err.Error())
			return strings.Join(out, ", ")
		case !ok:
			return strings.Join(out, ", ")
		default:
			out = append(out, fmt.Sprint(e.First>>16))
		}
	}
}

func fill(t *testing.T, m *streamtest.Model, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if _, err := stream.Append(t.Context(), m, streamtest.Record(i, 2)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFollower: each row of the table in its comment. The times are those of the
// pauses before what cannot be read is passed.
func TestFollower(t *testing.T) {
	const at = stream.Offset(1) << 16
	end := func(m *streamtest.Model) func() stream.Offset {
		return func() stream.Offset { return m.Stat().NextOffset }
	}
	tests := map[string]struct {
		spoil   func(*streamtest.Model)
		follows bool
		want    string
		took    time.Duration
	}{
		"all is well":            {func(*streamtest.Model) {}, true, "0, 1, 2, 3, 4", 0},
		"removed":                {func(m *streamtest.Model) { m.Trim(3 * at) }, true, "removed 0-3, 3, 4", 0},
		"damaged":                {func(m *streamtest.Model) { m.Damage(2 * at) }, true, "0, 1, damaged 2-3, 3, 4", 0},
		"cannot be read":         {func(m *streamtest.Model) { m.Block(2 * at) }, true, "0, 1, unreadable 2-3, 3, 4", 300 * time.Millisecond},
		"two in a row":           {func(m *streamtest.Model) { m.Block(1 * at); m.Block(2 * at) }, true, "0, unreadable 1-3, 3, 4", 300 * time.Millisecond},
		"two apart":              {func(m *streamtest.Model) { m.Block(0); m.Block(2 * at) }, true, "unreadable 0-1, 1, unreadable 2-3, 3, 4", 600 * time.Millisecond},
		"the last, to the end":   {func(m *streamtest.Model) { m.Block(4 * at) }, false, "0, 1, 2, 3, unreadable 4-5", 300 * time.Millisecond},
		"the whole, to the end":  {func(m *streamtest.Model) { m.Away(true) }, false, "unreadable 0-5", 300 * time.Millisecond},
		"well, to the end":       {func(*streamtest.Model) {}, false, "0, 1, 2, 3, 4", 0},
		"damage and bad sectors": {func(m *streamtest.Model) { m.Block(1 * at); m.Damage(2 * at) }, true, "0, unreadable 1-2, damaged 2-3, 3, 4", 300 * time.Millisecond},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := streamtest.NewModel()
				fill(t, m, 0, 5)
				o := stream.FollowOptions{}
				if !tt.follows {
					o.End = end(m)
				}
				f, err := stream.Follow(t.Context(), m, 0, o)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				tt.spoil(m)
				begin := time.Now()
				if got := follow(t.Context(), t, f); got != tt.want {
					t.Errorf("got  %s\nwant %s", got, tt.want)
				}
				if took := time.Since(begin); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
			})
		})
	}
}

// TestFollowerOutlastsItsDisk: while nothing can be read the follower stays where it
// is and says so; it loses nothing when the disk is back. A bad place at the tail is
// passed once something follows it.
func TestFollowerOutlastsItsDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := streamtest.NewModel()
		fill(t, m, 0, 2)
		var troubles []error
		f, err := stream.Follow(t.Context(), m, 0, stream.FollowOptions{Trouble: func(err error) { troubles = append(troubles, err) }})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		m.Away(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if got := follow(ctx, t, f); got != context.DeadlineExceeded.Error() {
			t.Fatal(got)
		}
		if n := len(troubles); n < 700 || n > 740 || slices.Contains(troubles, nil) {
			t.Fatalf("told of trouble %d times in an hour", n)
		}
		m.Away(false)
		if got := follow(t.Context(), t, f); got != "0, 1" || troubles[len(troubles)-1] != nil {
			t.Fatalf("%s, %v", got, troubles[len(troubles)-1])
		}
		m.Block(2 << 16)
		fill(t, m, 2, 3)
		got := make(chan string)
		go func() {
			e, err := f.Next(t.Context())
			gap, _ := errors.AsType[*stream.Gap](err)
			got <- fmt.Sprint(e, (gap.From+0xffff)>>16, (gap.To+0xffff)>>16)
		}()
		<-time.After(time.Minute)
		fill(t, m, 3, 4)
		if got := <-got; got != "<nil> 2 3" {
			t.Fatal(got)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if got := follow(t.Context(), t, f); got != "3, "+stream.ErrClosed.Error() {
			t.Fatal(got)
		}
	})
}

// TestFollowerEndsInABacklog: whoever is far behind ends when it is told to, and not
// when it has caught up.
func TestFollowerEndsInABacklog(t *testing.T) {
	m := streamtest.NewModel()
	fill(t, m, 0, 10)
	f, err := stream.Follow(t.Context(), m, 0, stream.FollowOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(t.Context())
	if _, ok, err := f.TryNext(ctx); !ok || err != nil {
		t.Fatal(ok, err)
	}
	cancel()
	if _, ok, err := f.TryNext(ctx); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("goes on: %t, %v", ok, err)
	}
	if _, err := f.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("goes on: %v", err)
	}
}
