package dashboard

import (
	"context"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
)

// readingOfLog reads from the hub's log the reading of an offset that the store left out;
// nil where there is none, or the hub does not answer. Live pages show such readings, and
// who clicks on one is to see it. Other events that the store does not have stay so: the
// log of today may be another than the one that the offset was of.
func (s *Server) readingOfLog(ctx context.Context, offset uint64) *pb.StoredEvent {
	bus, done := s.hub.stream()
	defer done()
	feed, _, err := reader.NewRemote(bus).Open(ctx, reader.Request{
		Start: reader.Start{Offset: offset}, Resume: true, MaxEvents: 1, NoFollow: true,
	})
	if err != nil {
		return nil
	}
	defer func() { _ = feed.Close() }() // of a stream that is done with
	for {
		batch, err := feed.Next(ctx)
		if err != nil || batch.Gap != nil {
			return nil
		}
		for i := range batch.Events {
			e := &batch.Events[i]
			if e.Offset > offset {
				return nil
			}
			if _, thinned := event.ThinnedReading(e.Encoded); e.Offset == offset && thinned {
				return storedEvent(e)
			}
		}
		if batch.Next > offset {
			return nil
		}
	}
}
