package dashboard

import (
	"context"
	"errors"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// stored is whom events are asked of.
func (s *Server) stored() pb.QueryClient { return s.hub.store.query }

// storeTimeout bounds a search, which may look at weeks; the store has bounds of its
// own, and it ends when the browser leaves.
const storeTimeout = 45 * time.Second

// askStored bounds one question to the store in time.
func askStored(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, storeTimeout)
}

// storeRetry is when to try again after the store was not there.
const storeRetry = 3 * time.Second

// partStore names the store in Problem.Away.
const partStore = "store"

// storeProblem turns an error of the store into what a person is told. That it is
// away is told apart from the hub being away: what the hub knows is shown meanwhile.
func (s *Server) storeProblem(err error) *Problem {
	if own, ok := errors.AsType[*Problem](err); ok {
		return own
	}
	st := status.Convert(err)
	var why string
	switch st.Code() {
	case codes.Unavailable:
		why = "it cannot be reached: " + st.Message()
	case codes.DeadlineExceeded:
		why = "it took too long; a shorter time range or a narrower query helps"
	case codes.Unimplemented:
		why = "whoever answers in its place does not know this: " + st.Message()
	default:
		if errors.Is(err, context.DeadlineExceeded) {
			why = "it took too long; a shorter time range or a narrower query helps"
			break
		}
		return s.hubProblem(err)
	}
	if connected, _, _ := s.hub.state(); !connected {
		return s.hubProblem(status.Error(codes.Unavailable, st.Message()))
	}
	code := http.StatusServiceUnavailable
	p := problem(code, "the store does not answer ("+why+"). amoskys status says how it is and logs/store.log why; "+
		"amoskys up starts it. Events are taken and kept in the log meanwhile, and this page tries again by itself")
	p.Title, p.Away, p.retryAfter = "The store is away", partStore, storeRetry
	return p
}

// isStoreAway says that an error means no answer from the store, while the hub may
// well answer.
func isStoreAway(err error) bool {
	return isUnreachable(err) || status.Code(err) == codes.Unimplemented
}

// Lack is a part of what was asked for that an answer does not have.
type Lack struct {
	Place  string     `json:"place" enum:"kernel,agent,hub,log,store,limit" doc:"Where it was lost or left out: store is not stored yet, set aside or no longer kept, limit that of this answer."`
	Count  uint64     `json:"count" doc:"Events; 0 where nobody knows how many."`
	Reason string     `json:"reason" doc:"For people."`
	Since  *time.Time `json:"since" nullable:"true" doc:"The first time that it concerns, where that is known."`
	Until  *time.Time `json:"until" nullable:"true"`
	Host   string     `json:"host" doc:"Whose events, where it is not everybody's."`
	Agent  string     `json:"agent"`
}

func newLacks(lacks []*pb.Lack) []Lack {
	list := make([]Lack, 0, len(lacks))
	for _, l := range lacks {
		list = append(list, Lack{
			Place: l.GetPlace(), Count: l.GetCount(), Reason: l.GetReason(), Since: instant(l.GetSince()), Until: instant(l.GetUntil()),
			Host: l.GetHost(), Agent: l.GetAgent(),
		})
	}
	return list
}
