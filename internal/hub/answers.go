package hub

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/unread"
)

// Bounds on the answers of single requests, of one identity. An answer is in memory
// until its client has read it, and a client that reads nothing may ask often.
const (
	answerBytesOfIdentity = 32 << 20
	answersOfIdentity     = 4
	answerPatience        = 10 * time.Second
)

// answers bounds answers: how many are being made at once, and how many bytes were
// made and not yet read.
type answers struct {
	calls, bytes *shares
}

func newAnswers() *answers {
	return &answers{calls: newShares(answersOfIdentity), bytes: newShares(answerBytesOfIdentity)}
}

// largeAnswers says whether a method may take much memory for its answer: what
// searches, or lists what a whole fleet has.
func largeAnswers(method string) bool {
	return strings.HasPrefix(method, "/"+pb.Query_ServiceDesc.ServiceName+"/") ||
		method == pb.Fleet_ListAgents_FullMethodName || method == pb.DeviceMarks_ListMarks_FullMethodName
}

// begin waits for a turn of the caller to have an answer made.
func (a *answers) begin(ctx context.Context, who string) (end func(), err error) {
	if err := a.calls.enter(ctx, who, 1, answerPatience); err != nil {
		return nil, a.refuse(ctx, "calls")
	}
	return func() { a.calls.leave(who, 1) }, nil
}

func (*answers) refuse(ctx context.Context, what string) error {
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	return status.Errorf(codes.ResourceExhausted, "too many %s of this certificate are not finished: read their answers and try again", what)
}

// encode encodes an answer, which counts against its caller's share until it is read
// (package unread).
func (a *answers) encode(ctx context.Context, c caller, answer any) (any, error) {
	m, ok := answer.(proto.Message)
	if !ok {
		return answer, nil
	}
	data, err := unread.Encode(m, &unread.Share{
		Take: func(n int64) error {
			if err := a.bytes.enter(ctx, c.Publisher, n, answerPatience); err != nil {
				return a.refuse(ctx, "large answers")
			}
			return nil
		},
		Release:    func(n int64) { a.bytes.leave(c.Publisher, n) },
		Connection: c.life,
	})
	if err != nil {
		return nil, err
	}
	if data == nil {
		return answer, nil
	}
	return &message{data: data}, nil
}
