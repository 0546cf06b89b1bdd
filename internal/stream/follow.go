package stream

import (
	"context"
	"errors"
	"time"
)

// FollowOptions say how patient a Follower is. The zero value is right for whoever
// follows the tail.
type FollowOptions struct {
	// Tries is how often a place is read before it is passed, 3.
	Tries int
	// Pause comes before the second try, 100 ms, and doubles with each up to
	// MaxPause, 5 s.
	Pause, MaxPause time.Duration
	// Wait pauses, so that tests need not.
	Wait func(context.Context, time.Duration) error
	// Trouble is told of each read that failed, and nil once one works again.
	Trouble func(error)
	// End, for a reader that does not follow, is the end it wants to get to: when
	// nothing up to there can be read, it is told of a gap instead of waiting.
	End func() Offset
}

// Follower reads a log whatever its disk does:
//
//	the next entry                         what the follower does
//	can be read                            returns it
//	is gone (removed, damaged)             returns a *Gap, goes on behind it
//	cannot be read, Tries times            passes it; a *Gap comes before the next entry
//	nor can anything behind it             waits, tries again: the disk is away, or the bad
//	                                       place is the last, and something will follow it
//	the same, with Options.End             returns a *Gap up to the end
//	is not there yet                       Next waits, TryNext says so
//
// It is for one goroutine. Its errors are a *Gap, ErrClosed and that of the context.
type Follower struct {
	o       FollowOptions
	source  Source
	reader  Reader
	trouble bool
}

// Follow returns a follower whose first event is the one at from, or the next there
// is behind it.
func Follow(ctx context.Context, source Source, from Offset, o FollowOptions) (*Follower, error) {
	if o.Tries <= 0 {
		o.Tries = 3
	}
	if o.Pause <= 0 {
		o.Pause = 100 * time.Millisecond
	}
	if o.MaxPause <= 0 {
		o.MaxPause = 5 * time.Second
	}
	if o.Wait == nil {
		o.Wait = Wait
	}
	if o.Trouble == nil {
		o.Trouble = func(error) {}
	}
	r, err := source.NewReader(ctx, from)
	if err != nil {
		return nil, err
	}
	return &Follower{o: o, source: source, reader: r}, nil
}

// Wait pauses for d or until ctx ends, and returns its error then.
func Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Offset returns where the follower goes on.
func (f *Follower) Offset() Offset { return f.reader.Offset() }

// Close releases the follower. Next must not be running.
func (f *Follower) Close() error { return f.reader.Close() }

// TryNext returns the next entry, ok false when there is none. It waits for a disk
// that cannot be read, not for entries.
func (f *Follower) TryNext(ctx context.Context) (*Entry, bool, error) {
	return f.read(ctx, f.reader.TryNext)
}

// Next returns the next entry, waiting for one until ctx ends.
func (f *Follower) Next(ctx context.Context) (*Entry, error) {
	e, _, err := f.read(ctx, func() (*Entry, bool, error) {
		e, err := f.reader.Next(ctx)
		return e, err == nil, err
	})
	return e, err
}

// read tries until it is settled what comes next.
func (f *Follower) read(ctx context.Context, next func() (*Entry, bool, error)) (*Entry, bool, error) {
	for try := 1; ; try++ {
		if err := ctx.Err(); err != nil { // also where there is always a next one
			return nil, false, err
		}
		e, ok, err := next()
		if settled(ctx, err) {
			f.note(nil)
			return e, ok, err
		}
		f.note(err)
		if try >= f.o.Tries {
			skip := f.reader.Skip(ctx)
			switch {
			case skip == nil:
				try = 0
				continue
			case f.o.End != nil && ctx.Err() == nil:
				return nil, false, f.giveUp(ctx, err)
			}
		}
		if err := f.o.Wait(ctx, f.pause(try)); err != nil {
			return nil, false, err
		}
	}
}

func (f *Follower) pause(try int) time.Duration {
	if shift := try - 1; shift < 16 {
		return min(f.o.MaxPause, f.o.Pause<<shift)
	}
	return f.o.MaxPause
}

// settled reports whether err is for the caller, or no error at all.
func settled(ctx context.Context, err error) bool {
	if err == nil || ctx.Err() != nil || errors.Is(err, ErrClosed) {
		return true
	}
	_, gap := errors.AsType[*Gap](err)
	return gap
}

// note tells of trouble and of its end.
func (f *Follower) note(err error) {
	if err != nil || f.trouble {
		f.trouble = err != nil
		f.o.Trouble(err)
	}
}

// giveUp goes to the end that is wanted, which is no gap for who is there.
func (f *Follower) giveUp(ctx context.Context, failed error) error {
	from, to := f.reader.Offset(), f.o.End()
	if to <= from {
		return nil
	}
	r, err := f.source.NewReader(ctx, to)
	if err != nil {
		return err
	}
	if err := f.reader.Close(); err != nil {
		f.note(err)
	}
	f.reader = r
	return &Gap{From: from, To: to, Cause: CauseUnreadable, Reason: "the disk cannot read them", Place: failed.Error()}
}
