package hub

import (
	"context"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// roleTable says which roles may call which method. A method that is not in it
// may be called by nobody.
func roleTable() map[string][]identity.Role {
	everyone := []identity.Role{
		identity.RoleHub, identity.RoleAgent, identity.RoleNode,
		identity.RoleDashboard, identity.RoleOperator, identity.RoleSubscriber,
	}
	people := []identity.Role{identity.RoleDashboard, identity.RoleOperator}
	table := map[string][]identity.Role{
		pb.EventBus_PublishEvent_FullMethodName: {identity.RoleAgent},
		pb.EventBus_Publish_FullMethodName:      {identity.RoleAgent},
		pb.EventBus_Subscribe_FullMethodName:    {identity.RoleSubscriber, identity.RoleDashboard, identity.RoleOperator},
		pb.Fleet_Control_FullMethodName:         {identity.RoleNode},
	}
	for _, m := range []string{
		pb.Fleet_ListAgents_FullMethodName, pb.Fleet_WatchAgents_FullMethodName, pb.Fleet_CommandAgent_FullMethodName,
		pb.Query_Status_FullMethodName, pb.Query_SearchEvents_FullMethodName, pb.Query_Event_FullMethodName,
		pb.Query_Series_FullMethodName, pb.Query_Metrics_FullMethodName,
		pb.Accounts_Login_FullMethodName, pb.Accounts_Session_FullMethodName,
		pb.Accounts_Logout_FullMethodName, pb.Accounts_ChangePassword_FullMethodName,
		pb.Enrollment_CreateToken_FullMethodName, pb.Enrollment_ListTokens_FullMethodName,
		pb.Enrollment_RevokeToken_FullMethodName,
	} {
		table[m] = people
	}
	for _, m := range []string{
		healthpb.Health_Check_FullMethodName, healthpb.Health_List_FullMethodName, healthpb.Health_Watch_FullMethodName,
	} {
		table[m] = everyone
	}
	for _, m := range []string{
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
	} {
		table[m] = []identity.Role{identity.RoleOperator}
	}
	return table
}

// guard stands in front of every call: it checks the caller's role, turns a
// panic of a handler into an error, and ends streams when the hub stops.
type guard struct {
	table   map[string][]identity.Role
	logger  *slog.Logger
	limiter *logLimiter
	failed  func(reason string) // counts, by a short word
	stopped context.Context     //nolint:containedctx // the life of the hub, which streams must not outlive
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
	case !slices.Contains(allowed, c.ID.Role):
		g.refuse(ctx, method, string(identity.ReasonWrongRole), c.Publisher)
		return status.Errorf(codes.PermissionDenied, "%s has role %s; %s is for %s", c.ID, c.ID.Role, method, joinRoles(allowed))
	}
	return nil
}

func (g *guard) refuse(ctx context.Context, method, reason, who string) {
	g.failed(reason)
	g.limiter.log(reason, "call refused",
		slog.String(obs.KeyMethod, clip(method)), slog.String(obs.KeyIdentity, who),
		slog.String(obs.KeyPeer, peerAddr(ctx)), slog.String(obs.KeyReason, reason))
}

func (g *guard) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	if err := g.authorise(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	defer g.recover(info.FullMethod, &err)
	return next(ctx, req)
}

func (g *guard) stream(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	if err := g.authorise(s.Context(), info.FullMethod); err != nil {
		return err
	}
	defer g.recover(info.FullMethod, &err)
	if info.FullMethod == pb.EventBus_Publish_FullMethodName {
		return next(srv, s) // it ends by itself, when what it accepted is acknowledged
	}
	ctx, cancel := context.WithCancelCause(s.Context())
	defer cancel(nil)
	unlink := context.AfterFunc(g.stopped, func() { cancel(errStopping) })
	defer unlink()
	err = next(srv, boundStream{s, ctx})
	if g.stopped.Err() != nil && ctx.Err() != nil {
		return errStopping
	}
	return err
}

// errStopping is what calls end with when the hub stops; clients try again.
var errStopping = status.Error(codes.Unavailable, "the hub is stopping")

// boundStream is a stream with a shorter life.
type boundStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // grpc.ServerStream carries one
}

// Context ends with the call or with the hub.
func (b boundStream) Context() context.Context { return b.ctx }

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
