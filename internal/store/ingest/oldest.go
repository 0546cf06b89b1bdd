package ingest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// What the oldest event's time is tells since when the store can say that nothing
// happened. It is asked of the engine when that starts and when days were removed or
// rebuilt, and kept since.

// noteOldest takes over the time of an event that is given to the engine. The caller
// holds mu.
func (in *Ingest) noteOldest(at int64) {
	if in.oldest == 0 && len(in.days) == 0 || at < in.oldest {
		in.oldest = at
	}
}

// findOldest asks for it. The caller holds mu.
func (in *Ingest) findOldest(ctx context.Context) {
	at, err := in.askOldest(ctx, in.days)
	if err != nil {
		in.o.Logger.WarnContext(ctx, "the store does not know since when it has events: it says since which day", obs.KeyError, err)
	}
	in.oldest = at
}

// askOldest is the time of the oldest event of days, in ns; 0 where there is none.
func (in *Ingest) askOldest(ctx context.Context, days map[int64]uint64) (at int64, err error) {
	for _, day := range slices.Sorted(maps.Keys(days)) {
		if days[day] == 0 {
			continue
		}
		from := time.Unix(day*86400, 0).UTC()
		q := vlogs.Query{Text: fmt.Sprintf("_time:%s | stats min(_time) at", from.Format(time.DateOnly+"Z"))}
		asking, cancel := context.WithTimeout(ctx, askMost)
		err := in.o.Engine.Rows().Query(asking, q, func(row []vlogs.Field) error {
			for _, f := range row {
				if t, err := time.Parse(time.RFC3339Nano, f.Value); f.Name == "at" && err == nil {
					at = t.UnixNano()
				}
			}
			return nil
		})
		cancel()
		if err != nil {
			return 0, fmt.Errorf("ask for the oldest event: %w", err)
		}
		if at != 0 {
			return at, nil
		}
	}
	return 0, nil
}

// findOldestAgain is findOldest for one who does not hold mu.
func (in *Ingest) findOldestAgain(ctx context.Context) error {
	in.view.Lock()
	days := maps.Clone(in.view.days)
	for name := range in.view.removed {
		if day, ok := dayNumber(name); ok {
			delete(days, day)
		}
	}
	in.view.Unlock()
	at, err := in.askOldest(ctx, days)
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.oldest = at
	in.show()
	return nil
}
