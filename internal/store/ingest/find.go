package ingest

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
	"github.com/amoskys/amoskys/internal/store/vlogs"
	"github.com/amoskys/amoskys/internal/stream"
)

// open reads the place.
func (in *Ingest) open(ctx context.Context) error {
	if err := in.o.FS.MkdirAll(in.o.Path, 0o700); err != nil {
		return fmt.Errorf("make the store's folder: %w", err)
	}
	p, known, err := loadPlace(in.o.FS, in.o.Path)
	if errors.Is(err, ErrPlace) {
		in.o.Logger.ErrorContext(ctx, "the store's place cannot be read: it begins at the oldest event of the log, and keeps what is older",
			obs.KeyPath, in.o.Path, obs.KeyError, err)
		known, err = false, nil
	}
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.goTo(p.clone())
	in.lost = !known
	in.show()
	return nil
}

// findPlace holds the place against the log until the hub answers:
//
//	the log has, before the place      the place is
//	the event that it had              right
//	what is gone                       taken for right
//	another event                      of another log (nextLog)
//	nothing, for it ends earlier       of another log (nextLog)
//
// Where no place is known it is the oldest event. The error is ctx's.
func (in *Ingest) findPlace(ctx context.Context) error {
	for {
		err := in.tryPlace(ctx)
		in.view.Lock()
		in.view.trouble = ""
		if err != nil {
			in.view.trouble = err.Error()
		}
		in.view.Unlock()
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		in.o.Logger.WarnContext(ctx, "the store waits for the log", obs.KeyError, err)
		if err := in.o.wait(ctx, in.o.fullPause); err != nil {
			return err
		}
	}
}

func (in *Ingest) tryPlace(ctx context.Context) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	p := in.place.clone()
	if p.Offset == 0 && !in.lost {
		return nil
	}
	from := p.Offset - min(p.Offset, 1)
	first, err := in.peek(ctx, from)
	switch {
	case err != nil:
		return err
	case in.lost:
		p.Offset, p.Last = first.offset, first.id
		in.goTo(p)
		return nil
	case first.gone || p.Last == "" && first.found || first.found && first.offset == from && first.id == p.Last:
		return nil
	case !first.found && !first.beyond && p.Last == "": // the next offset may be one that is jumped over
		end, err := in.peek(ctx, p.Offset)
		if tail := in.o.Source.Tail(); err != nil || !end.beyond && (tail == 0 || tail >= p.Offset) {
			return err
		}
	}
	return in.nextLog(ctx, in.o.Source.Tail())
}

// beginOther begins the log anew if it is another than before, whose event before the
// store's place is not the one that was taken: its end alone tells only while it is the
// shorter one.
func (in *Ingest) beginOther(ctx context.Context) (bool, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.next <= 1 || len(in.last) == 0 {
		return false, nil
	}
	from := in.next - 1
	first, err := in.peek(ctx, from)
	if err != nil || first.gone || !first.found && !first.beyond || first.offset == from && first.id == string(in.last) {
		return false, err
	}
	return true, in.replaced(ctx, in.o.Source.Tail())
}

// findLog finds out, where the place was lost, which log the store has read last, and
// whether this is it: tryPlace left the log's oldest event as the place.
func (in *Ingest) findLog(ctx context.Context) error {
	p := in.place.clone()
	var err error
	if p.Log, err = in.number(ctx, vlogs.Query{Text: "log:* | stats max(log) n"}); err != nil {
		return err
	}
	if p.Joints, err = in.findJoints(ctx, p.Log); err != nil {
		return err
	}
	rows, err := in.count(ctx, "*")
	if err != nil {
		return err
	}
	other, err := in.holdsOther(ctx, &p)
	if err != nil {
		return err
	}
	if other || p.Last == "" && p.Offset == 0 && rows > 0 {
		p.Log, p.Joints = p.Log+1, nil
	}
	p.Last = "" // it is the event behind the place
	in.lost = false
	in.goTo(p)
	return nil
}

// holdsOther reports whether the rows behind p are of another log than the one that is
// read. Of most events that the log has the store has no row, as they are readings, so it
// is the first row that is held against the log.
func (in *Ingest) holdsOther(ctx context.Context, p *Place) (bool, error) {
	rows, err := in.count(ctx, p.behind())
	if err != nil || rows == 0 {
		return false, err
	}
	at, err := in.number(ctx, vlogs.Query{Text: p.behind() + " | stats min(offset) n"})
	if err != nil {
		return false, err
	}
	logged, err := in.peek(ctx, at)
	switch {
	case err != nil || logged.gone:
		return false, err
	case !logged.found || logged.offset != at:
		return true, nil
	}
	others, err := in.count(ctx, fmt.Sprintf("offset:=%d%s !id:=%s", at, ofLog(p.logAt(at)), logged.id))
	return others > 0, err
}

// firstEvent is what a log has at an offset, or behind what is gone there.
type firstEvent struct {
	found  bool
	gone   bool // what was there; offset is behind it
	beyond bool // the log ends before the offset
	offset stream.Offset
	id     string
}

// peek looks at the first event from an offset on.
func (in *Ingest) peek(ctx context.Context, from stream.Offset) (first firstEvent, err error) {
	f, at, err := in.o.Source.Open(ctx, reader.Request{Start: reader.Start{Offset: from}, Resume: from > 0, Blocks: true, MaxEvents: 1, NoFollow: true})
	if err != nil {
		return first, fmt.Errorf("look at the log: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for {
		b, err := f.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return first, nil
		case status.Code(err) == codes.OutOfRange:
			return firstEvent{beyond: true}, nil
		case err != nil:
			return first, fmt.Errorf("look at the log: %w", err)
		case b.Gap != nil:
			return firstEvent{gone: true, offset: max(b.Gap.To, at)}, nil
		}
		for i := range b.Blocks {
			for off, encoded := range b.Blocks[i].Events() {
				if off < from {
					continue
				}
				envelope, err := event.Inspect(encoded)
				if err != nil {
					return firstEvent{gone: true, offset: off + 1}, nil
				}
				return firstEvent{found: true, offset: off, id: envelope.ID.String()}, nil
			}
		}
	}
}
