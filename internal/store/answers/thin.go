package answers

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// mayFindReadings reports whether what a filter says, and a query with it, leaves in a
// type of readings.
func mayFindReadings(f *pb.Filter, mayFind func(typ string) bool) bool {
	if f.GetMinSeverity() > pb.Severity_SEVERITY_INFORMATIONAL {
		return false // such readings are kept, each
	}
	types := f.GetTypes()
	if len(types) > 0 {
		query := mayFind
		mayFind = func(typ string) bool {
			return query(typ) && slices.ContainsFunc(types, func(t string) bool {
				return t == typ || strings.HasSuffix(t, ".") && strings.HasPrefix(typ, t)
			})
		}
	}
	return slices.ContainsFunc(readingTypes(), mayFind)
}

// readingTypes are types of readings that there are.
func readingTypes() []string {
	return []string{event.TypeProcessSample, event.TypeSNMPReading, event.TypeMetricBatch, event.TypeAgentHealth, event.TypeHubHealth}
}

// thinned reports whether readings that a question may find are thinned in its range: the
// store left some out on a day of it. That is no lack: it is so by design, and the metrics
// have the numbers of those that have series.
func (s *Service) thinned(q *question) bool {
	return q.readings && slices.ContainsFunc(s.stateOf().GetDays(), func(d *pb.StoreDay) bool {
		at, err := time.Parse(time.DateOnly, d.GetDay())
		return err == nil && d.GetThinned() > 0 && !(span{at.UnixNano(), at.Add(day).UnixNano()}).clip(q.asked).empty()
	})
}

// notStored says why there is no event of an offset before the store's place.
func (s *Service) notStored(offset uint64) error {
	if s.stateOf().GetThinned() > 0 {
		return status.Errorf(codes.NotFound, "event %d is not stored: it is a reading whose numbers are in the metrics alone, or older than what is kept, or was lost; "+
			"the hub's log may have it still (amoskys tail --from %d --limit 1)", offset, offset)
	}
	return status.Errorf(codes.NotFound, "event %d is not stored: it is older than what is kept, or was lost", offset)
}
