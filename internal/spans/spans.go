// Package spans makes traces of OpenTelemetry of what a process does, and sends them to a
// collector (docs/tracing.md).
//
// Traces begin in two places, with a request to the dashboard and with a batch at the hub;
// all else goes on with what came with a call (W3C Trace Context, in headers of HTTP and
// metadata of gRPC). Nothing waits for the collector: what it does not take in time is
// dropped and counted. A nil *Recorder, which is what a configuration without an endpoint
// gives, makes nothing, and adds nothing to a server or a client.
//
// OpenTelemetry's own global providers are neither used nor set.
package spans

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/obs"
)

// Scope names who made a span, where it was not a library.
const Scope = "github.com/amoskys/amoskys"

// Options say who records and what. Config, Service and Logger are required.
type Options struct {
	Config Config
	// SampleRatio is the part of what begins here that is recorded.
	SampleRatio float64
	// Public says that strangers may call: their context is gone on with, but what is
	// recorded of it is decided here and by SampleRatio, not by them.
	Public bool
	// Service is the role, such as hub.
	Service, Version string
	Home             config.Home
	Registerer       prometheus.Registerer // nil: nobody reads the counters
	Logger           *slog.Logger
	// Every is how long spans wait for others; 0: two seconds.
	Every time.Duration
}

// Recorder makes spans and sends them. Its methods may be called on nil.
type Recorder struct {
	provider *sdktrace.TracerProvider
	queue    *queue
}

// New returns a recorder, nil where the configuration wants none. Run sends.
func New(o Options) (*Recorder, error) {
	if o.Config.Endpoint == "" {
		return nil, nil //nolint:nilnil // none is an answer
	}
	to, err := newCollector(&o)
	if err != nil {
		return nil, err
	}
	q, err := newQueue(to, &o)
	if err != nil {
		return nil, err
	}
	part := sdktrace.TraceIDRatioBased(o.SampleRatio)
	var called []sdktrace.ParentBasedSamplerOption
	if o.Public {
		called = append(called, sdktrace.WithRemoteParentSampled(drawn{o.SampleRatio}))
	}
	host, _ := os.Hostname() // "" where it has none
	return &Recorder{queue: q, provider: sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.ParentBased(part, called...)),
		sdktrace.WithSpanProcessor(q),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.namespace", "amoskys"), attribute.String("service.name", "amoskys-"+o.Service),
			attribute.String("service.version", o.Version), attribute.String("host.name", host),
		)),
	)}, nil
}

// drawn records a part of what comes, by lot: whoever calls names the id of its trace, by
// which the usual sampler decides.
type drawn struct{ part float64 }

// ShouldSample implements sdktrace.Sampler.
func (d drawn) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	decision := sdktrace.Drop
	if rand.Float64() < d.part { //nolint:gosec // a lot, seeded by the system
		decision = sdktrace.RecordAndSample
	}
	return sdktrace.SamplingResult{Decision: decision, Tracestate: trace.SpanContextFromContext(p.ParentContext).TraceState()}
}

// Description implements sdktrace.Sampler.
func (d drawn) Description() string { return "Drawn" }

// Run sends what is recorded until ctx ends, and then, for a moment, what is left.
func (r *Recorder) Run(ctx context.Context) error {
	if r == nil {
		<-ctx.Done()
		return nil
	}
	r.queue.run(ctx)
	return nil
}

// Tracer makes spans; nil where there is no recorder.
func (r *Recorder) Tracer() trace.Tracer {
	if r == nil {
		return nil
	}
	return r.provider.Tracer(Scope)
}

// w3c is how traces go from one process to another: https://www.w3.org/TR/trace-context/.
// Baggage, which others may fill with what they like, is not passed on.
func w3c() propagation.TextMapPropagator { return propagation.TraceContext{} }

func (r *Recorder) http() []otelhttp.Option {
	return []otelhttp.Option{
		otelhttp.WithTracerProvider(r.provider), otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()), otelhttp.WithPropagators(w3c()),
	}
}

// Handler makes a span of each request that which names, and goes on with the trace that
// the request is of. The pattern of a [http.ServeMux] in next names the span.
func (r *Recorder) Handler(next http.Handler, which func(*http.Request) bool) http.Handler {
	if r == nil {
		return next
	}
	return otelhttp.NewHandler(next, "", append(r.http(), otelhttp.WithFilter(which))...)
}

// Transport makes a span of each request that is made for a trace, which goes on at the
// other end.
func (r *Recorder) Transport(next http.RoundTripper) http.RoundTripper {
	if r == nil {
		return next
	}
	return otelhttp.NewTransport(next, append(r.http(), otelhttp.WithFilter(func(req *http.Request) bool {
		return trace.SpanContextFromContext(req.Context()).IsValid()
	}))...)
}

func newCounters(o *Options) (sent prometheus.Counter, dropped *prometheus.CounterVec, err error) {
	sent = prometheus.NewCounter(prometheus.CounterOpts{Name: "amoskys_traces_sent_spans_total", Help: "Spans that the collector of traces has taken."})
	dropped = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "amoskys_traces_dropped_spans_total", Help: "Spans that were given up, by reason: queue_full, collector_away, refused.",
	}, []string{obs.KeyReason})
	if o.Registerer == nil {
		return sent, dropped, nil
	}
	for _, c := range []prometheus.Collector{sent, dropped} {
		if err := o.Registerer.Register(c); err != nil {
			return nil, nil, fmt.Errorf("register metrics of traces: %w", err)
		}
	}
	for _, reason := range []string{reasonFull, reasonAway, reasonRefused} {
		dropped.WithLabelValues(reason)
	}
	return sent, dropped, nil
}
