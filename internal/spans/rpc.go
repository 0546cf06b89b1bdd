package spans

import (
	"context"
	"slices"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
)

func (r *Recorder) grpc() []otelgrpc.Option {
	return []otelgrpc.Option{
		otelgrpc.WithTracerProvider(r.provider), otelgrpc.WithMeterProvider(metricnoop.NewMeterProvider()), otelgrpc.WithPropagators(w3c()),
	}
}

// ServerOptions make a span of each call that brings a trace. Calls of the methods in
// without make none: streams that last for days. They are full names, or /SERVICE/ for all
// of a service.
func (r *Recorder) ServerOptions(without ...string) []grpc.ServerOption {
	if r == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.StatsHandler(&some{
		Handler: otelgrpc.NewServerHandler(r.grpc()...), without: without,
		traced: func(ctx context.Context) bool { return Caller(ctx).IsValid() },
	})}
}

// DialOptions make a span of each call that is made for a trace, which goes on at the
// other end.
func (r *Recorder) DialOptions(without ...string) []grpc.DialOption {
	if r == nil {
		return nil
	}
	return []grpc.DialOption{grpc.WithStatsHandler(&some{
		Handler: otelgrpc.NewClientHandler(r.grpc()...), without: without,
		traced: func(ctx context.Context) bool { return trace.SpanContextFromContext(ctx).IsValid() },
	})}
}

// Caller is the trace that a caller's metadata names; not valid where they name none.
func Caller(ctx context.Context) trace.SpanContext {
	md, _ := metadata.FromIncomingContext(ctx)
	return trace.SpanContextFromContext(w3c().Extract(context.Background(), incoming(md))) //nolint:contextcheck // of the metadata alone
}

// incoming are metadata as the propagator reads them.
type incoming metadata.MD

var _ propagation.TextMapCarrier = incoming{}

// Get implements propagation.TextMapCarrier.
func (m incoming) Get(key string) string {
	values := metadata.MD(m).Get(key)
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// Set implements propagation.TextMapCarrier. Nothing is set on what came in.
func (m incoming) Set(string, string) {}

// Keys implements propagation.TextMapCarrier.
func (m incoming) Keys() []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	return keys
}

// some has its handler see the calls of traces alone.
type some struct {
	stats.Handler

	without []string
	traced  func(context.Context) bool
}

type seenKey struct{}

// TagRPC decides on a call.
func (s *some) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	leftOut := func(method string) bool {
		return method == info.FullMethodName || strings.HasSuffix(method, "/") && strings.HasPrefix(info.FullMethodName, method)
	}
	if !s.traced(ctx) || slices.ContainsFunc(s.without, leftOut) {
		return ctx
	}
	return s.Handler.TagRPC(context.WithValue(ctx, seenKey{}, s), info)
}

// HandleRPC passes on what belongs to a call that was decided for, by this handler: the
// context of a call that a server makes in turn holds that of the one which it answers.
func (s *some) HandleRPC(ctx context.Context, one stats.RPCStats) {
	if ctx.Value(seenKey{}) == s {
		s.Handler.HandleRPC(ctx, one)
	}
}
