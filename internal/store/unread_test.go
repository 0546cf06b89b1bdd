package store

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/limit"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// wordy is a Query service with large answers.
type wordy struct{ Starting }

func (wordy) SearchEvents(context.Context, *pb.SearchEventsRequest) (*pb.SearchEventsResponse, error) {
	return &pb.SearchEventsResponse{NextPage: strings.Repeat("x", 1<<20)}, nil
}

// TestLargeAnswersArriveAndAreForgotten: as they were made, and they count no longer.
func TestLargeAnswersArriveAndAreForgotten(t *testing.T) {
	memory := limit.NewBudget(40<<20, 20<<20)
	st := start(t, func(o *Options) { o.Query, o.Memory = wordy{}, memory })
	c := pb.NewQueryClient(st.dial(t, "operator"))
	for range 100 { // five times what one may hold
		answer, err := c.SearchEvents(t.Context(), &pb.SearchEventsRequest{})
		if err != nil || answer.GetNextPage() != strings.Repeat("x", 1<<20) {
			t.Fatal(len(answer.GetNextPage()), err)
		}
	}
	if err := st.stop(); err != nil {
		t.Fatal(err)
	}
	if n := memory.Taken(); n != 0 {
		t.Errorf("%d bytes count still", n)
	}
}

// hoarder is wordy, and as if the operator had left answers unread.
type hoarder struct {
	wordy

	memory *limit.Budget
}

func (h hoarder) SearchEvents(ctx context.Context, req *pb.SearchEventsRequest) (*pb.SearchEventsResponse, error) {
	if c := CallerOf(ctx); c.ID.Role == identity.RoleOperator {
		if err := h.memory.Take(c.Key(), 2<<20); err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { h.memory.Release(c.Key(), 2<<20) })
	}
	return h.wordy.SearchEvents(ctx, req)
}

// TestUnreadAnswersAreRefused: who holds a share whole hears what to do about it, and
// others have their answers.
func TestUnreadAnswersAreRefused(t *testing.T) {
	memory := limit.NewBudget(8<<20, 2<<20)
	st := start(t, func(o *Options) { o.Query, o.Memory = hoarder{memory: memory}, memory })
	_, err := pb.NewQueryClient(st.dial(t, "operator")).SearchEvents(t.Context(), &pb.SearchEventsRequest{})
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "read them and ask again") {
		t.Errorf("beyond the share: %v", err)
	}
	if _, err := pb.NewQueryClient(st.dial(t, "dashboard")).SearchEvents(t.Context(), &pb.SearchEventsRequest{}); err != nil {
		t.Errorf("another: %v", err)
	}
}
