package answers

import (
	"context"
	"iter"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

const day = 24 * time.Hour

// question is what a filter asks about a range.
func (s *Service) question(ctx context.Context, f *pb.Filter, asked span) (*question, error) {
	if err := asked.turned(); err != nil {
		return nil, err
	}
	text, costly, readings, err := filterText(f)
	if err != nil {
		return nil, err
	}
	q, err := s.inWords(ctx, text, asked)
	if err != nil {
		return nil, err
	}
	q.readings = readings
	return q, s.afford(ctx, q, costly)
}

// afford refuses what would have the engine read every value of a field of more than
// Limits.Reads events: it would take all processors for minutes, or be cut. That so many
// are in the range at all is known at once; only then is it asked how many the index
// leaves.
func (s *Service) afford(ctx context.Context, q *question, c costs) error {
	if c.why == "" {
		return nil
	}
	read := *q
	for _, read.filter = range []string{"", c.sieve} {
		n, err := s.total(ctx, &read, read.whole())
		if err != nil || n <= s.o.Limits.Reads {
			return err
		}
		if read.filter == c.sieve {
			return status.Errorf(codes.InvalidArgument, "%s (it would be of %d events in that time; at most %d can be read so)", c.why, n, s.o.Limits.Reads)
		}
	}
	return nil
}

// inWords is a question in the engine's words.
func (s *Service) inWords(ctx context.Context, text string, asked span) (*question, error) {
	// First what counts as stored, then the days: a day that begins in between has
	// nothing that counts.
	next, again, err := s.stored(ctx)
	if err != nil {
		return nil, err
	}
	q := &question{filter: text, asked: asked, place: next, again: again, now: s.o.Now().UnixNano()}
	days, err := s.o.Engine.Days(ctx)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	q.held = heldOf(days, asked)
	return q, nil
}

// heldOf are the parts of a range of which the engine has days, those that touch as
// one.
func heldOf(days []string, asked span) []span {
	var held []span
	for _, name := range days {
		at, err := time.Parse(vlogs.DayFormat, name)
		if err != nil {
			continue
		}
		one := span{at.UnixNano(), at.Add(day).UnixNano()}.clip(asked)
		switch n := len(held); {
		case one.empty():
		case n > 0 && held[n-1].until == one.since:
			held[n-1].until = one.until
		default:
			held = append(held, one)
		}
	}
	return held
}

// steps are how long the windows of a walk are, in turn; the last is for all that
// follow. Most walks end in the first: it holds a page, where much happens. Where
// little does, the time so far is a fraction of what the next one takes.
func steps() []time.Duration {
	return []time.Duration{
		10 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, day, 7 * day, 30 * day,
	}
}

// windows walks through what is held, backwards in time or forwards, in windows that
// become longer. What lies ahead of now, where no event should be, is one window.
func (q *question) windows(oldestFirst bool) iter.Seq[span] {
	return func(yield func(span) bool) {
		left := slices.Clone(q.held)
		if n := len(left); !oldestFirst && n > 0 && left[n-1].until > q.now && left[n-1].since < q.now {
			if !yield(span{q.now, left[n-1].until}) {
				return
			}
			left[n-1].until = q.now
		}
		if !oldestFirst {
			slices.Reverse(left)
		}
		lengths := steps()
		for _, one := range left {
			for !one.empty() {
				length := int64(lengths[0])
				if len(lengths) > 1 {
					lengths = lengths[1:]
				}
				w := one
				if oldestFirst {
					w.until = min(one.until, one.since+length)
					one.since = w.until
				} else {
					w.since = max(one.since, one.until-length)
					one.until = w.since
				}
				if !yield(w) {
					return
				}
			}
		}
	}
}
