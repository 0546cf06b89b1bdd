package hub

import (
	"context"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/identity/rights"
	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// guard stands in front of every call: it checks the caller's role, turns a
// panic of a handler into an error, and ends streams when the hub stops.
type guard struct {
	table   rights.Table
	logger  *slog.Logger
	limiter *limit.Log
	failed  func(reason string) // counts, by a short word
	auditor Auditor             // nil: nothing is recorded
	stopped context.Context     //nolint:containedctx // the life of the hub, which streams must not outlive

	oneRequest  map[string]bool // methods whose request is one message; filled before serving
	arrivalTime time.Duration   // in which it has to come
	answers     *answers
	turns       *turns
}

// authorise decides on a call. The text tells the caller what would be right.
func (g *guard) authorise(ctx context.Context, method string) error {
	c, err := callerOf(ctx)
	if err != nil {
		g.refuse(ctx, method, "unauthenticated", "")
		return err
	}
	allowed, known := g.table[method]
	switch {
	case !known:
		g.refuse(ctx, method, "unknown_method", c.Publisher)
		return status.Errorf(codes.PermissionDenied, "method %.200s is not open to anyone", method)
	case !g.table.Allows(c.ID.Role, method):
		g.refuse(ctx, method, string(identity.ReasonWrongRole), c.Publisher)
		return status.Errorf(codes.PermissionDenied, "%s has role %s; %s is for %s", c.ID, c.ID.Role, method, joinRoles(allowed))
	}
	return nil
}

func (g *guard) refuse(ctx context.Context, method, reason, who string) {
	g.failed(reason)
	noteRefusal(ctx, g.auditor, operationCall, who, clip(method), reason, peerAddr(ctx))
	g.limiter.Warn(reason, "call refused",
		slog.String(obs.KeyMethod, clip(method)), slog.String(obs.KeyIdentity, who),
		slog.String(obs.KeyPeer, peerAddr(ctx)), slog.String(obs.KeyReason, reason))
}

func (g *guard) stream(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	end, err := g.begin(s.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	defer end()
	defer g.recover(info.FullMethod, &err)
	if info.FullMethod == pb.EventBus_Publish_FullMethodName {
		return next(srv, s) // it ends by itself, when what it accepted is acknowledged
	}
	ctx, cancel := context.WithCancelCause(s.Context())
	defer cancel(nil)
	unlink := context.AfterFunc(g.stopped, func() { cancel(errStopping) })
	defer unlink()
	err = next(srv, boundStream{s, ctx, g})
	if g.stopped.Err() != nil && ctx.Err() != nil {
		return errStopping
	}
	return err
}

// errStopping is what calls end with when the hub stops; clients try again.
var errStopping = status.Error(codes.Unavailable, "the hub is stopping")

// boundStream is a stream with a shorter life and bounded messages.
type boundStream struct {
	grpc.ServerStream
	ctx   context.Context //nolint:containedctx // grpc.ServerStream carries one
	guard *guard
}

// Context ends with the call or with the hub.
func (b boundStream) Context() context.Context { return b.ctx }

// RecvMsg receives a message that is within the bounds of its type.
func (b boundStream) RecvMsg(m any) error {
	return b.guard.receive(b.ctx, m, b.ServerStream.RecvMsg)
}

// unlisted answers methods that no service has.
func (g *guard) unlisted(_ any, s grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(s)
	return g.authorise(s.Context(), method)
}

func (g *guard) recover(method string, err *error) {
	cause := recover()
	if cause == nil {
		return
	}
	g.failed("panic")
	g.logger.Error("call panicked", obs.KeyMethod, method, "cause", cause, "stack", string(debug.Stack()))
	*err = status.Error(codes.Internal, "internal error")
}

func joinRoles(roles []identity.Role) string {
	words := make([]string, len(roles))
	for i, r := range roles {
		words[i] = string(r)
	}
	return strings.Join(words, ", ")
}
