package hub

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/amoskys/amoskys/internal/obs"
)

// services registers services so that every call is checked by its headers: the
// caller's role before a byte of its message is read. For streams gRPC's own
// interceptors come early enough; for single requests they come after the message,
// so the method's handler is wrapped.
//
// Refusing in the tap, which sees the headers even earlier, would not do: gRPC
// never cancels the context of a call that the tap refuses, so that each leaves its
// client's timeout ticking in memory.
type services struct {
	*grpc.Server
	guard *guard
}

// RegisterService adds a service whose single requests are guarded.
func (s services) RegisterService(desc *grpc.ServiceDesc, impl any) {
	guarded := *desc
	guarded.Methods = make([]grpc.MethodDesc, len(desc.Methods))
	for i, m := range desc.Methods {
		m.Handler = s.guard.single("/"+desc.ServiceName+"/"+m.MethodName, m.Handler)
		guarded.Methods[i] = m
	}
	for _, m := range desc.Streams {
		if !m.ClientStreams {
			s.guard.arrives("/" + desc.ServiceName + "/" + m.StreamName)
		}
	}
	s.Server.RegisterService(&guarded, impl)
}

// single guards a method of one request and one answer.
func (g *guard) single(method string, next grpc.MethodHandler) grpc.MethodHandler {
	g.arrives(method)
	return func(srv any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (resp any, err error) {
		end, err := g.begin(ctx, method)
		if err != nil {
			return nil, err
		}
		defer end()
		defer g.recover(method, &err)
		c, err := callerOf(ctx)
		if err != nil {
			return nil, err
		}
		return g.answer(ctx, c, method, func() (any, error) {
			return next(srv, ctx, func(m any) error { return g.receive(ctx, m, dec) }, nil)
		})
	}
}

// answer has an answer made and encoded within the bounds of the caller.
func (g *guard) answer(ctx context.Context, c caller, method string, produce func() (any, error)) (any, error) {
	if largeAnswers(method) {
		end, err := g.answers.begin(ctx, c.Publisher)
		if err != nil {
			g.failed("too_many_answers")
			return nil, err
		}
		defer end()
	}
	answer, err := produce()
	if err != nil {
		return nil, err
	}
	if answer, err = g.answers.encode(ctx, c, answer); err != nil {
		g.failed("too_many_answers")
	}
	return answer, err
}

// arrives notes a method whose request is one message, and so has to be there
// after arrivalTime. It is for registration only.
func (g *guard) arrives(method string) { g.oneRequest[method] = true }

// arriving is the context of a call whose request has a time to come in.
type arriving struct {
	context.Context //nolint:containedctx // it is one

	timer  *time.Timer
	unlink func() bool // from the end of the call, which stops the timer as well
}

func (a *arriving) arrived() {
	a.timer.Stop()
	a.unlink()
}

type arrivingKey struct{}

// tap runs when the headers of a call have arrived, on the connection's own
// goroutine. It never refuses, see services.
func (g *guard) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	if !g.oneRequest[info.FullMethodName] {
		return ctx, nil
	}
	inner, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(g.arrivalTime, func() { cancel(errNotArrived) })
	return &arriving{inner, timer, context.AfterFunc(ctx, func() { timer.Stop() })}, nil
}

// errNotArrived ends calls whose request stopped in the middle.
var errNotArrived = errors.New("the request did not arrive in time")

// Err is a missed deadline, and not a cancellation, when the request did not come:
// gRPC answers with it.
func (a *arriving) Err() error {
	if errors.Is(context.Cause(a.Context), errNotArrived) {
		return context.DeadlineExceeded
	}
	return a.Context.Err()
}

// Value finds itself.
func (a *arriving) Value(key any) any {
	if key == (arrivingKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// receive takes the one request of a call.
func (g *guard) receive(ctx context.Context, m any, receive func(any) error) error {
	r := &request{into: m}
	err := receive(r)
	if a, ok := ctx.Value(arrivingKey{}).(*arriving); ok {
		a.arrived()
	}
	switch {
	case err != nil:
		if errors.Is(context.Cause(ctx), errNotArrived) {
			g.failed("request_timeout")
		}
		return err
	case r.refused != nil:
		return g.refuseMessage(ctx, r.refused)
	}
	return nil
}

// refuseMessage counts and logs a message that is not decoded.
func (g *guard) refuseMessage(ctx context.Context, why error) error {
	reason := "malformed_request"
	if status.Code(why) == codes.ResourceExhausted {
		reason = "message_too_large"
	}
	g.failed(reason)
	method, _ := grpc.Method(ctx)
	c, _ := callerOf(ctx)
	g.limiter.Warn(reason, "message refused", slog.String(obs.KeyMethod, clip(method)), slog.String(obs.KeyReason, reason),
		slog.String(obs.KeyIdentity, c.Publisher), slog.String(obs.KeyPeer, peerAddr(ctx)), slog.Any(obs.KeyError, why))
	return why
}
