package hub

import (
	"context"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Bounds on the answers of single requests, of one identity. An answer is in memory
// until its client has read it, and a client that reads nothing may ask often.
const (
	answerBytesOfIdentity = 32 << 20
	answersOfIdentity     = 4
	answerPatience        = 10 * time.Second
	// smallAnswer is what is not worth counting: max_streams of them are little.
	smallAnswer = 16 << 10
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
	return strings.HasPrefix(method, "/"+pb.Query_ServiceDesc.ServiceName+"/") || method == pb.Fleet_ListAgents_FullMethodName
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

// encode encodes an answer. A large one counts against its caller's share until
// gRPC has written it, or given it up with its stream.
func (a *answers) encode(ctx context.Context, c caller, answer any) (any, error) {
	m, ok := answer.(proto.Message)
	if !ok {
		return answer, nil
	}
	size := proto.Size(m)
	if size <= smallAnswer {
		return answer, nil
	}
	if err := a.bytes.enter(ctx, c.Publisher, int64(size), answerPatience); err != nil {
		return nil, a.refuse(ctx, "large answers")
	}
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(make([]byte, 0, size), m)
	if err != nil {
		a.bytes.leave(c.Publisher, int64(size))
		return nil, status.Errorf(codes.Internal, "encode the answer: %v", err)
	}
	held := &heldAnswer{release: sync.OnceFunc(func() { a.bytes.leave(c.Publisher, int64(size)) })}
	held.unlink = context.AfterFunc(c.life, held.release) //nolint:contextcheck // the connection's life, not the call's
	return &message{data: mem.BufferSlice{mem.NewBuffer(&b, held)}}, nil
}

// heldAnswer is the pool of one buffer, by which it learns that gRPC is done with
// it. With a connection gRPC drops what is queued for it without a word.
type heldAnswer struct {
	release func()
	unlink  func() bool // from the end of the connection
}

var _ mem.BufferPool = (*heldAnswer)(nil)

// Get is not asked for.
func (*heldAnswer) Get(n int) *[]byte {
	b := make([]byte, n)
	return &b
}

// Put gives the caller's share back.
func (h *heldAnswer) Put(*[]byte) {
	h.unlink()
	h.release()
}
