// Package live keeps the most recent events in memory, searchable, and recent
// time series about them. It is a subscriber of the log: it loses nothing that
// the log does not hold, and is filled from the log's tail at every start.
//
// Ring holds encoded events with a small index, bounded by number and bytes.
// Recorder holds series of fixed length, one value a second for 15 minutes and
// one in ten seconds for six hours. Neither can slow the log down.
//
// Wiring, in internal/app:
//
//	recorder := live.NewRecorder(live.RecorderOptions{})
//	ring := live.NewRing(live.RingOptions{Recorder: recorder, Tail: func() uint64 { return log.Stat().NextOffset }})
//	feed, err := reader.New(reader.Options{Name: "live", Source: &reader.Local{Log: log}, Consumer: ring, Blocks: true, …})
//	group.Go(func() error { return feed.Run(ctx) })
//	group.Go(func() error { return recorder.Run(ctx, hub.Gauges, fleet.Gauges) })
//	service := query.New(query.Options{Store: ring, Series: recorder, …})
package live

import (
	"iter"
	"time"
)

// Batch is a run of events that came together.
type Batch struct {
	// First is the offset of the first event; the others follow it.
	First uint64
	Count int
	// Publisher is the SPIFFE id that the events came from.
	Publisher string
	// Received is when the hub took the batch.
	Received time.Time
	// Events yields offset and encoded event.
	Events iter.Seq2[uint64, []byte]
}
