package answers_test

import (
	"context"
	"strings"
	"testing"
	"time"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/answers"
)

// TestACallerWhoLeavesHidesNoLoss: the hub is asked again by the next caller.
func TestACallerWhoLeavesHidesNoLoss(t *testing.T) {
	st := newStore(t, answers.Limits{})
	st.add(t, execution(now.Add(-time.Minute), "web-1", "bash"))
	st.flush(t)
	ctx, leave := context.WithCancel(t.Context())
	service := answers.New(answers.Options{
		Engine: st.keeper.Client(), Now: func() time.Time { return now },
		Status: func() *pb.StoreStatus { return &pb.StoreStatus{State: "ok", NextOffset: st.next} },
		Hub: func(asked context.Context) (*pb.StatusResponse, error) {
			if ctx.Err() == nil { // while the hub is being asked
				leave()
				<-asked.Done()
				return nil, asked.Err()
			}
			return &pb.StatusResponse{Log: &pb.LogStatus{Losses: []*pb.LogLoss{{FromOffset: 0, ToOffset: 1, Reason: "a page was torn"}}}}, nil
		},
	})
	_, _ = service.SearchEvents(ctx, &pb.SearchEventsRequest{}) // who left gets no answer
	answer, err := service.SearchEvents(t.Context(), &pb.SearchEventsRequest{})
	if err != nil || !strings.Contains(lackTexts(answer.GetLacks()), "torn") {
		t.Errorf("lacks %s, %v", lackTexts(answer.GetLacks()), err)
	}
}
