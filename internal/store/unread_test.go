package store

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestUnreadAnswersAreBounded: of one certificate and of all; one that has none unread
// gets its answer in any case, and room comes as answers are read.
func TestUnreadAnswersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUnread()
		a, b, c := identity.ID{Name: "a"}, identity.ID{Name: "b"}, identity.ID{Name: "c"}
		for _, step := range []struct {
			who  identity.ID
			n    int64
			want bool
		}{
			{a, 40 << 20, true}, {a, 8 << 20, true}, {a, 1, false}, {b, 40 << 20, true}, {b, 8 << 20, true}, {b, 8 << 20, false}, {c, 200 << 20, true}, {c, 1, false},
		} {
			began := time.Now()
			if got := u.enter(t.Context(), step.who, step.n); got != step.want {
				t.Errorf("%s with %d: %v", step.who.Name, step.n, got)
			}
			if waited := time.Since(began); (waited > 0) == step.want {
				t.Errorf("%s with %d waited %v", step.who.Name, step.n, waited)
			}
		}
		u.leave(c, 200<<20)
		done := make(chan bool, 1)
		go func() { done <- u.enter(t.Context(), a, 8<<20) }()
		synctest.Wait()
		u.leave(a, 8<<20)
		if !<-done {
			t.Error("there is room")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if u.enter(ctx, a, 8<<20) {
			t.Error("who has left gets no answer")
		}
		u.leave(a, 40<<20)
		u.leave(a, 8<<20)
		u.leave(b, 48<<20)
		if n := u.bytes(); n != 0 || len(u.of) != 0 {
			t.Errorf("%d bytes are left", n)
		}
	})
}

// wordy is a Query service with large answers.
type wordy struct{ Starting }

func (wordy) SearchEvents(context.Context, *pb.SearchEventsRequest) (*pb.SearchEventsResponse, error) {
	return &pb.SearchEventsResponse{NextPage: strings.Repeat("x", 1<<20)}, nil
}

// TestLargeAnswersArriveAndAreForgotten: as they were made, and they count no longer.
func TestLargeAnswersArriveAndAreForgotten(t *testing.T) {
	st := start(t, func(o *Options) { o.Query = wordy{} })
	c := pb.NewQueryClient(st.dial(t, "operator"))
	for range 100 { // twice what may be unread
		answer, err := c.SearchEvents(t.Context(), &pb.SearchEventsRequest{})
		if err != nil || answer.GetNextPage() != strings.Repeat("x", 1<<20) {
			t.Fatal(len(answer.GetNextPage()), err)
		}
	}
	if err := st.stop(); err != nil {
		t.Fatal(err)
	}
	if n := st.server.unread.bytes(); n != 0 {
		t.Errorf("%d bytes count still", n)
	}
}
