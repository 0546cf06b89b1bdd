package hub

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/spans"
)

// longStreams are calls of which no span is made: they last as long as their callers.
func longStreams() []string {
	return []string{
		"/" + pb.EventBus_ServiceDesc.ServiceName + "/", pb.Fleet_Control_FullMethodName,
		pb.Fleet_WatchAgents_FullMethodName, pb.Certificates_WatchRevoked_FullMethodName,
	}
}

// batchSpans makes a trace of each batch that is published, or of a part of them, once it
// is answered: a span for all, and one each for what it waits for. Nil makes none and
// costs nothing.
type batchSpans struct{ tracer trace.Tracer }

func newBatchSpans(r *spans.Recorder) *batchSpans {
	if r == nil {
		return nil
	}
	return &batchSpans{tracer: r.Tracer()}
}

// ofCaller names the trace that a stream is of, if its client has one. The traces of its
// batches are linked to it: a stream lasts for days.
func (x *batchSpans) ofCaller(ctx context.Context) []trace.Link {
	if x == nil {
		return nil
	}
	if caller := spans.Caller(ctx); caller.IsValid() {
		return []trace.Link{{SpanContext: caller}}
	}
	return nil
}

// steps are when a batch came to its next step; zero where it did not.
type steps struct{ submitted, durable time.Time }

// answered makes the spans of a batch.
func (x *batchSpans) answered(p *publication, s *slot, now time.Time) {
	if x == nil {
		return
	}
	ctx, span := x.tracer.Start(context.Background(), "publish batch",
		trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(s.received), trace.WithLinks(p.links...))
	defer span.End(trace.WithTimestamp(now))
	if !span.IsRecording() {
		return
	}
	r := &s.request
	span.SetAttributes(
		attribute.String("amoskys.publisher", p.sender.publisher), attribute.String("amoskys.agent", p.sender.rules.AgentID),
		attribute.Int("amoskys.events", r.Count), attribute.Int("amoskys.events.refused", len(r.Refused)),
		attribute.Int64("amoskys.bytes", s.size), attribute.String("amoskys.outcome", s.outcome.String()),
	)
	if s.err != nil {
		span.SetStatus(otelcodes.Error, troubleOf(s.err).text)
	} else if s.outcome == outcomeStored {
		span.SetAttributes(attribute.Int64("amoskys.offset", int64(s.first)))
	}
	x.step(ctx, "admit", s.received, s.at.submitted)
	x.step(ctx, "append and sync", s.at.submitted, s.at.durable)
	x.step(ctx, "acknowledge in order", s.at.durable, now)
}

// step makes a span of one step, if the batch came to its end.
func (x *batchSpans) step(ctx context.Context, name string, from, to time.Time) {
	if from.IsZero() || to.IsZero() {
		return
	}
	_, span := x.tracer.Start(ctx, name, trace.WithTimestamp(from))
	span.End(trace.WithTimestamp(to))
}

// String is what became of a batch, in a word.
func (o outcome) String() string {
	switch o {
	case outcomeStored:
		return "stored"
	case outcomeDuplicate:
		return "duplicate"
	case outcomeNothing:
		return "nothing accepted"
	case outcomeRetry:
		return "retry"
	default:
		return ""
	}
}
