package store

import (
	"context"
	"log/slog"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/identity/rights"
	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/obs"
)

// Names of metadata in which a dashboard says for whom it asks.
const (
	UserMetadata = "amoskys-user"
	RoleMetadata = "amoskys-role"
)

// Caller is who makes a call.
type Caller struct {
	ID identity.ID
	// User and Role are a person's, as the dashboard that they use says; empty for
	// others. No right follows from them: they say whose share of time and rows it is.
	User, Role string
}

// Key names whose share a call is of.
func (c Caller) Key() string {
	if c.User == "" {
		return c.ID.String()
	}
	return c.ID.String() + " for " + c.User
}

// maxUser bounds names that a dashboard tells, in bytes.
const maxUser = 256

type callerKey struct{}

// WithCaller returns a context of a call by c.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns who makes a call; the zero Caller where nobody is known.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// guard stands in front of every call: it checks the caller's role, says who calls,
// and turns a panic of a handler into an error.
type guard struct {
	table   rights.Table
	logger  *slog.Logger
	limiter *limit.Log
	memory  *limit.Budget
	timing  *timing
	stopped context.Context //nolint:containedctx // the life of the store, which no call outlives
}

// begin decides on a call. The text tells the caller what would be right.
func (g *guard) begin(ctx context.Context, method string) (context.Context, context.CancelFunc, error) {
	p, ok := grpcpeer.FromContext(ctx)
	who, known := peer{}, false
	if ok {
		who, known = p.AuthInfo.(peer)
	}
	if !known {
		return nil, nil, status.Error(codes.Unauthenticated, "the connection carries no client certificate")
	}
	if !g.table.Allows(who.id.Role, method) {
		g.limiter.Warn("role", "call refused", slog.String(obs.KeyMethod, method[:min(len(method), maxUser)]),
			slog.String(obs.KeyIdentity, who.id.String()))
		return nil, nil, status.Errorf(codes.PermissionDenied, "%s has role %s, to which the store does not open %.200s", who.id, who.id.Role, method)
	}
	c := Caller{ID: who.id}
	if who.id.Role == identity.RoleDashboard {
		c.User, c.Role = told(ctx, UserMetadata), told(ctx, RoleMetadata)
	}
	ctx, cancel := context.WithCancel(WithCaller(ctx, c))
	unlink := context.AfterFunc(g.stopped, cancel)
	return ctx, func() { unlink(); cancel() }, nil
}

// peerOf is who is at the other end of a call that begin let in.
func peerOf(ctx context.Context) *peer {
	p, _ := grpcpeer.FromContext(ctx)
	who, _ := p.AuthInfo.(peer)
	return &who
}

// told is one value of metadata, of bounded length.
func told(ctx context.Context, name string) string {
	values := metadata.ValueFromIncomingContext(ctx, name)
	if len(values) == 0 {
		return ""
	}
	return values[0][:min(len(values[0]), maxUser)]
}

// errStopping is what calls end with when the store stops; clients try again.
var errStopping = status.Error(codes.Unavailable, "the store is stopping")

func (g *guard) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	ctx, end, err := g.begin(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	defer end()
	answered := g.timing.begin(ctx, info.FullMethod)
	defer func() { answered(req) }()
	defer g.recover(info.FullMethod, &err)
	if resp, err = next(ctx, req); err == nil {
		resp, err = g.encode(ctx, resp)
	}
	return resp, g.ended(ctx, err)
}

func (g *guard) stream(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	ctx, end, err := g.begin(s.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	defer end()
	answered := g.timing.begin(ctx, info.FullMethod)
	timed := &timedStream{ServerStream: boundStream{s, ctx}}
	defer func() { answered(timed.asked) }()
	defer g.recover(info.FullMethod, &err)
	return g.ended(ctx, next(srv, timed))
}

// ended is the error of a call that the end of the store may have cut short.
func (g *guard) ended(ctx context.Context, err error) error {
	if err != nil && g.stopped.Err() != nil && ctx.Err() != nil {
		return errStopping
	}
	return err
}

// boundStream is a stream whose caller is known and which ends with the store.
type boundStream struct {
	grpc.ServerStream

	ctx context.Context //nolint:containedctx // grpc.ServerStream carries one
}

// Context ends with the call or with the store.
func (b boundStream) Context() context.Context { return b.ctx }

func (g *guard) recover(method string, err *error) {
	cause := recover()
	if cause == nil {
		return
	}
	g.logger.Error("call panicked", obs.KeyMethod, method, "cause", cause, "stack", string(debug.Stack()))
	*err = status.Error(codes.Internal, "internal error")
}
