package ingest

import (
	"time"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/stream"
)

// Most readings are in the metrics alone (event.ThinnedReading): the store passes them
// over, and counts them by their days. A day that is rebuilt leaves out the same ones, so
// it has as many events as it had, and its count stays.

// leaveOut passes over the reading at an offset. The caller holds mu.
func (in *Ingest) leaveOut(left *event.Thinned, off stream.Offset, received time.Time) {
	at, came := left.UnixNano, received.UnixNano()
	if b := in.o.Retention.bounds(); at < came-int64(b.Past) || at > came+int64(b.Future) {
		at = came
	}
	in.thinned[dayOf(at)]++
	in.metrics.thinned.Inc()
	in.next = off + 1
	in.last = left.ID.Append(in.last[:0])
}
