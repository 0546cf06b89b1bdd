package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
)

// lastRead is an event whose readings are in the database, by which the log is known again:
// that a log ends earlier than before tells only while it is the shorter one.
type lastRead struct {
	Offset stream.Offset `json:"offset"`
	ID     string        `json:"id"`
}

// lastOf is the last event of a batch, or the one before where it has none.
func lastOf(b *reader.Batch, before lastRead) lastRead {
	n := len(b.Events)
	if n == 0 {
		return before
	}
	e, err := event.Inspect(b.Events[n-1].Encoded)
	if err != nil {
		return before
	}
	return lastRead{Offset: b.Events[n-1].Offset, ID: e.ID.String()}
}

// knownLog is the source of the log, and looks each time that it is opened whether the log is
// the one of before. Another one is read from its beginning.
type knownLog struct {
	reader.Source

	db *DB
}

// Open implements reader.Source.
func (k knownLog) Open(ctx context.Context, r reader.Request) (reader.Feed, stream.Offset, error) {
	other, err := k.db.isOther(ctx)
	if err != nil {
		return nil, 0, err
	}
	if !other {
		return k.Source.Open(ctx, r) //nolint:wrapcheck // it is the source's
	}
	r.Start, r.Resume, r.Move = reader.Start{}, true, true
	feed, from, err := k.Source.Open(ctx, r)
	if err != nil {
		return nil, 0, err //nolint:wrapcheck // it is the source's
	}
	k.db.startOver(ctx)
	return &anew{Feed: feed}, from, nil
}

// anew is a feed that begins with a batch of a log which ends before any place: by it a
// reader that has read another log begins anew, too.
type anew struct {
	reader.Feed

	told bool
}

// Next implements reader.Feed.
func (a *anew) Next(ctx context.Context) (*reader.Batch, error) {
	if !a.told {
		a.told = true
		return &reader.Batch{Tail: 1}, nil
	}
	return a.Feed.Next(ctx) //nolint:wrapcheck // it is the source's
}

// isOther holds the log against the last event that was read of it:
//
//	the log has, at its offset   it is
//	that event                   the same
//	what is gone                 taken for the same
//	another event, or nothing    another
func (db *DB) isOther(ctx context.Context) (other bool, err error) {
	db.mu.Lock()
	last := db.last
	db.mu.Unlock()
	if last.ID == "" {
		return false, nil
	}
	feed, _, err := db.o.Source.Open(ctx, reader.Request{Start: reader.Start{Offset: last.Offset}, Resume: true, MaxEvents: 1, NoFollow: true})
	if status.Code(err) == codes.OutOfRange {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look whether the log is the one of before: %w", err)
	}
	defer func() { err = errors.Join(err, feed.Close()) }()
	for {
		b, err := feed.Next(ctx)
		switch {
		case errors.Is(err, io.EOF), status.Code(err) == codes.OutOfRange:
			return true, nil
		case err != nil:
			return false, fmt.Errorf("look whether the log is the one of before: %w", err)
		case b.Gap != nil:
			return false, nil
		}
		for i := range b.Events {
			at := b.Events[i].Offset
			if at < last.Offset {
				continue
			}
			e, err := event.Inspect(b.Events[i].Encoded)
			return err == nil && (at != last.Offset || e.ID.String() != last.ID), nil
		}
	}
}

// startOver has the log read from its beginning: it is another one. What is written stays.
func (db *DB) startOver(ctx context.Context) {
	db.mu.Lock()
	was := db.next
	db.next, db.last, db.placeDue = 0, lastRead{}, true
	db.mu.Unlock()
	db.o.Logger.WarnContext(ctx, "the hub's log is another than before: readings of the new one are read from its beginning, and those of before stay", obs.KeyOffset, was)
	if err := db.change(func(p *place) { p.Offset, p.Last = 0, lastRead{} }); err != nil {
		db.metrics.saveErrors.Inc() // it is due, and is tried again
	}
}
