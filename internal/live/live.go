// Package live counts the events of the log as they come: how many a second now, of
// all and of each agent, and recent time series beside gauges of hub and agents. It is
// a subscriber of the log, is filled from the log's tail at every start, and cannot
// slow the log down. Events themselves are the store's to keep.
//
// Recorder holds series of fixed length, one value a second for 15 minutes and one in
// ten seconds for six hours; Feed is how events come to it.
//
// Wiring, in internal/app:
//
//	recorder := live.NewRecorder(live.RecorderOptions{})
//	feed, err := reader.New(reader.Options{Name: "live", Source: &reader.Local{Log: log}, Consumer: live.NewFeed(recorder), Blocks: true, …})
//	group.Go(func() error { return feed.Run(ctx) })
//	group.Go(func() error { return recorder.Run(ctx, hub.Gauges, fleet.Gauges) })
//	service := query.New(query.Options{Series: recorder, …})
package live
