package wal

import (
	"context"
	"errors"
	"time"
)

// seekSlack covers that records are stamped before they are queued, so that
// times in the log are in order only roughly.
const seekSlack = 5 * time.Second

// OffsetAt returns the offset of the first record received at or after t, or the
// end of the log. It searches by halves, because the log has no index of times.
func (l *Log) OffsetAt(ctx context.Context, t time.Time) (Offset, error) {
	stat := l.Stat()
	low, high := stat.FirstOffset, stat.NextOffset
	for low < high && high-low > 4096 {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		middle := low + (high-low)/2
		received, first, err := receivedAt(ctx, l, middle)
		switch {
		case errors.Is(err, errNothing):
			high = middle
		case err != nil:
			return 0, err
		case received.Before(t.Add(-seekSlack)):
			low = max(first, middle)
		default:
			high = middle
		}
	}
	r, err := l.NewReader(low)
	if err != nil {
		return 0, err
	}
	from, err := scanTo(ctx, r, t)
	return from, errors.Join(err, r.Close())
}

// errNothing says that no record lies at or behind an offset.
var errNothing = errors.New("no record")

// receivedAt returns when the first readable record at or behind an offset came,
// and where it begins.
func receivedAt(ctx context.Context, l *Log, from Offset) (received time.Time, first Offset, err error) {
	r, err := l.NewReader(from)
	if err != nil {
		return time.Time{}, 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		e, ok, err := r.TryNext()
		switch {
		case IsCorruption(err):
		case err != nil:
			if err := r.Skip(ctx); err != nil {
				return time.Time{}, 0, err
			}
		case !ok:
			return time.Time{}, 0, errNothing
		default:
			return e.Received, e.First, nil
		}
	}
}

// scanTo reads on to the first record received at or after t.
func scanTo(ctx context.Context, r *Reader, t time.Time) (Offset, error) {
	var next Offset
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		e, ok, err := r.TryNext()
		switch {
		case IsCorruption(err):
		case err != nil:
			if err := r.Skip(ctx); err != nil {
				return 0, err
			}
		case !ok:
			return max(next, r.Offset()), nil
		case !e.Received.Before(t):
			return e.First, nil
		default:
			next = e.Next
		}
	}
}
