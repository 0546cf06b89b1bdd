package spans

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/amoskys/amoskys/internal/obs"
)

// Bounds of what waits and of what is sent, in spans. One takes about 1 KiB.
const (
	maxWaiting = 2_048
	maxRequest = 512
)

const (
	defaultEvery = 2 * time.Second  // how long a span waits for others
	sendTimeout  = 10 * time.Second // of one request
	awayPause    = 5 * time.Second  // behind a request that failed
	lastTimeout  = 2 * time.Second  // of what is left when the process ends
)

// Reasons for which spans are dropped.
const (
	reasonFull    = "queue_full"
	reasonAway    = "collector_away"
	reasonRefused = "refused"
)

// queue holds the spans that have ended until they are sent. Whoever ends one never waits:
// where there is no room it is dropped and counted.
type queue struct {
	waiting chan sdktrace.ReadOnlySpan
	out     *otlptrace.Exporter // encodes them, for to
	to      *collector
	every   time.Duration
	pause   time.Duration
	logger  *slog.Logger

	sent    prometheus.Counter
	dropped *prometheus.CounterVec
	away    bool // of run alone: the last request failed
}

var _ sdktrace.SpanProcessor = (*queue)(nil)

func newQueue(to *collector, o *Options) (*queue, error) {
	q := &queue{waiting: make(chan sdktrace.ReadOnlySpan, maxWaiting), out: otlptrace.NewUnstarted(to), to: to, every: o.Every, pause: awayPause, logger: o.Logger}
	if q.every == 0 {
		q.every = defaultEvery
	}
	var err error
	q.sent, q.dropped, err = newCounters(o)
	return q, err
}

// OnStart implements sdktrace.SpanProcessor.
func (q *queue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd takes a span that is to be sent.
func (q *queue) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	select {
	case q.waiting <- s:
	default:
		q.dropped.WithLabelValues(reasonFull).Inc()
	}
}

// Shutdown implements sdktrace.SpanProcessor; run ends with its context.
func (q *queue) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdktrace.SpanProcessor.
func (q *queue) ForceFlush(context.Context) error { return nil }

// run sends what comes until ctx ends, and then once more.
func (q *queue) run(ctx context.Context) {
	defer q.to.http.CloseIdleConnections()
	for {
		batch := q.gather(ctx)
		if ctx.Err() != nil {
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTimeout)
			defer cancel()
			for ; len(batch) > 0; batch = q.take(nil) {
				if !q.send(last, batch) {
					q.dropped.WithLabelValues(reasonAway).Add(float64(len(q.waiting)))
					return
				}
			}
			return
		}
		if q.send(ctx, batch) {
			continue
		}
		select { // meanwhile the queue runs full, and nobody dials again and again
		case <-ctx.Done():
		case <-time.After(q.pause):
		}
	}
}

// gather returns the spans of the next request: as many as it may have, or what has come
// some time after the first. When ctx ends it returns what there is.
func (q *queue) gather(ctx context.Context) []sdktrace.ReadOnlySpan {
	var batch []sdktrace.ReadOnlySpan
	select {
	case s := <-q.waiting:
		batch = append(batch, s)
	case <-ctx.Done():
		return q.take(nil)
	}
	timer := time.NewTimer(q.every)
	defer timer.Stop()
	for len(batch) < maxRequest {
		select {
		case s := <-q.waiting:
			batch = append(batch, s)
		case <-timer.C:
			return batch
		case <-ctx.Done():
			return q.take(batch)
		}
	}
	return batch
}

// take adds what waits to a request, as far as it has room.
func (q *queue) take(batch []sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	for len(batch) < maxRequest {
		select {
		case s := <-q.waiting:
			batch = append(batch, s)
		default:
			return batch
		}
	}
	return batch
}

// send sends one request; false: the collector did not take it, and the spans are dropped.
func (q *queue) send(ctx context.Context, batch []sdktrace.ReadOnlySpan) bool {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	err := q.out.ExportSpans(ctx, batch)
	if p, some := errors.AsType[*partlyError](err); some {
		left := min(p.refused, int64(len(batch)))
		q.dropped.WithLabelValues(reasonRefused).Add(float64(left))
		q.sent.Add(float64(int64(len(batch)) - left))
		return true
	}
	if err != nil {
		q.dropped.WithLabelValues(reasonAway).Add(float64(len(batch)))
		if !q.away { // once, however long it lasts
			q.logger.WarnContext(ctx, "the collector of traces does not take them: they are dropped until it does", obs.KeyError, err)
		}
		q.away = true
		return false
	}
	q.sent.Add(float64(len(batch)))
	if q.away {
		q.logger.InfoContext(ctx, "the collector of traces takes them again")
	}
	q.away = false
	return true
}
