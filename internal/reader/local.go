package reader

import (
	"context"
	"errors"
	"io"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/stream"
)

// Local reads a log in this process.
type Local struct {
	Log stream.Log
	// Follow says how patient to be with the disk.
	Follow stream.FollowOptions
}

var _ Source = (*Local)(nil)

// Open implements Source.
func (l *Local) Open(ctx context.Context, r Request) (Feed, stream.Offset, error) {
	if r.Filter.GetQuery() != "" {
		return nil, 0, errQuery
	}
	from, err := l.start(ctx, &r)
	if err != nil {
		return nil, 0, err
	}
	o := l.Follow
	if o.Trouble = r.Trouble; r.Trouble == nil {
		o.Trouble = func(error) {}
	}
	if r.NoFollow {
		end := l.Log.Stat().NextOffset
		o.End = func() stream.Offset { return end }
	}
	f, err := stream.Follow(ctx, l.Log, from, o)
	if err != nil {
		return nil, 0, err
	}
	o.Trouble(nil)
	feed := &localFeed{log: l.Log, follower: f, follow: !r.NoFollow, assembler: newAssembler(&r, event.NewSelector(r.Filter), from)}
	feed.copies = true // an entry lasts until the next one is read
	return feed, from, nil
}

// start finds the first offset that is wanted.
func (l *Local) start(ctx context.Context, r *Request) (from stream.Offset, err error) {
	if r.Cursor != "" {
		if from, err = l.Log.OpenCursor(ctx, r.Cursor, r.Hold); err != nil {
			return 0, err
		}
	}
	stat := l.Log.Stat()
	if r.Cursor != "" && r.Move {
		if err := l.Log.CommitCursor(ctx, r.Cursor, min(r.Start.Offset, stat.NextOffset)); err != nil {
			return 0, err
		}
	}
	switch {
	case r.Cursor != "" && !r.Resume:
		return min(from, stat.NextOffset), nil
	case r.Start.Tail:
		return stat.NextOffset, nil
	case !r.Start.Time.IsZero():
		return l.Log.OffsetAt(ctx, r.Start.Time)
	}
	if r.Start.Offset == 0 && !r.Resume {
		return stat.FirstOffset, nil // the oldest event, nothing before it is missed
	}
	return min(r.Start.Offset, stat.NextOffset), nil
}

// Commit implements Source.
func (l *Local) Commit(ctx context.Context, cursor string, off stream.Offset) error {
	return l.Log.CommitCursor(ctx, cursor, off)
}

// Tail implements Source.
func (l *Local) Tail() stream.Offset { return l.Log.Stat().NextOffset }

// localFeed gathers entries into batches.
type localFeed struct {
	assembler

	log      stream.Log
	follower *stream.Follower
	follow   bool
	entry    *stream.Entry // not looked at to its end; what was unpacked of it is kept
}

// Close implements Feed.
func (f *localFeed) Close() error { return f.follower.Close() }

// Next implements Feed.
func (f *localFeed) Next(ctx context.Context) (*Batch, error) {
	f.begin()
	begin := f.next
	for !f.full() && f.gap == nil {
		e, ok, err := f.look(ctx)
		switch {
		case err != nil:
			if !f.noteGap(err) {
				return nil, err
			}
		case ok:
			if !f.addEntry(e) {
				f.entry = e
			}
		case f.next > begin:
			return f.done(f.tail()), nil
		case !f.follow:
			return nil, io.EOF
		default:
			if f.entry, err = f.follower.Next(ctx); err != nil && !f.noteGap(err) {
				return nil, err
			}
		}
	}
	if f.gap != nil && f.empty() {
		return f.pass(f.tail()), nil
	}
	return f.done(f.tail()), nil
}

// noteGap has a gap come next, if err is one.
func (f *localFeed) noteGap(err error) bool {
	gap, gone := errors.AsType[*stream.Gap](err)
	f.gap = gap
	return gone
}

// look returns the entry that comes next.
func (f *localFeed) look(ctx context.Context) (*stream.Entry, bool, error) {
	if e := f.entry; e != nil {
		f.entry = nil
		return e, true, nil
	}
	return f.follower.TryNext(ctx)
}

// tail is the end of the log.
func (f *localFeed) tail() stream.Offset { return f.log.Stat().NextOffset }
