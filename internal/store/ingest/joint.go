package ingest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/store/vlogs"
	"github.com/amoskys/amoskys/internal/stream"
)

// A hub that was restored from a backup has the log that it had, up to where the backup
// ends, and goes on from there with other events. A store that lived on, or whose clusters
// did, has read further: what it has from there on stays, as the log has it no more, and the
// rows of the log that is read now get another number from there on.

// Joint says from which offset on the events of the log that is read are rows of which
// number (Place.Log).
type Joint struct {
	From stream.Offset `json:"from"`
	Log  uint64        `json:"log"`
}

// maxJoints bounds how many are remembered: more restores are a log that begins anew.
const maxJoints = 64

// logAt is the number that the row of the event at an offset has.
func (p *Place) logAt(off stream.Offset) uint64 {
	n := p.Log
	for i, j := range p.Joints {
		if i == 0 || off >= j.From {
			n = j.Log
		}
	}
	return n
}

// rows is the filter of the rows of events of the log that is read from an offset on, and
// before until where that is not 0.
func (p *Place) rows(from, until stream.Offset) string {
	joints := p.Joints
	if len(joints) == 0 {
		joints = []Joint{{Log: p.Log}}
	}
	var filters []string
	for i, j := range joints {
		low, high := max(from, j.From), until
		if i+1 < len(joints) && (high == 0 || joints[i+1].From < high) {
			high = joints[i+1].From
		}
		if high > 0 && low >= high {
			continue
		}
		// Unquoted the engine might read offset as that of a time zone.
		f := `"offset":>=` + strconv.FormatUint(low, 10)
		if high > 0 {
			f += ` "offset":<` + strconv.FormatUint(high, 10)
		}
		filters = append(filters, f+ofLog(j.Log))
	}
	switch len(filters) {
	case 0:
		return `"offset":<0`
	case 1:
		return filters[0]
	}
	return "(" + anyOf(filters) + ")"
}

// ofLog is the part of a filter that holds rows of one log alone.
func ofLog(n uint64) string {
	if n == 0 {
		return ` log:""`
	}
	return " log:=" + strconv.FormatUint(n, 10)
}

// nextLog goes on with another log than before: behind where both are the same, as one is a
// restored copy of the other, else at its beginning.
func (in *Ingest) nextLog(ctx context.Context, tail stream.Offset) error {
	at, err := in.partAt(ctx, tail)
	if err != nil {
		return fmt.Errorf("hold the hub's log against what is stored: %w", err)
	}
	if at == 0 || len(in.place.Joints) >= maxJoints {
		return in.beginLog(ctx, tail)
	}
	return in.joinLog(ctx, at, tail)
}

// partAt is behind the last event that is stored and that the log has at the same offset; 0
// where there is none. Of most events no row may be there, as they are readings, so rows are
// looked for, which are the same up to somewhere and not behind it.
func (in *Ingest) partAt(ctx context.Context, tail stream.Offset) (at stream.Offset, err error) {
	p := &in.place
	end := p.Offset
	if tail > 0 {
		end = min(end, tail)
	}
	for low, high := stream.Offset(0), end; low < high; { // rows before low are the same, or there are none
		mid := low + (high-low)/2
		if high == end {
			mid = high - 1 // the backup may be the newest, and all of it stored
		}
		row, id, found, err := in.rowWithin(ctx, low, mid+1)
		if err != nil {
			return 0, err
		}
		if !found {
			low = mid + 1
			continue
		}
		logged, err := in.peek(ctx, row)
		switch {
		case err != nil:
			return 0, err
		case logged.gone: // older than what the log has: nothing is known of it
			low = mid + 1
		case logged.found && logged.offset == row && logged.id == id:
			at, low = row+1, mid+1
		default:
			high = row
		}
	}
	return at, nil
}

// rowWindow is how many offsets are first looked at for a row, and rowGrowth how many times
// more each time that there is none.
const (
	rowWindow = 10_000
	rowGrowth = 100
)

// rowWithin is the last row of the log with an offset from low on and before high.
func (in *Ingest) rowWithin(ctx context.Context, low, high stream.Offset) (off stream.Offset, id string, found bool, err error) {
	return in.lastRow(ctx, &in.place, low, high)
}

// lastRow is the last row with an offset from low on and before high of the log of a place.
func (in *Ingest) lastRow(ctx context.Context, of *Place, low, high stream.Offset) (off stream.Offset, id string, found bool, err error) {
	for window := stream.Offset(rowWindow); !found && low < high; window *= rowGrowth {
		from := max(low, high-min(high, window))
		q := vlogs.Query{Text: of.rows(from, high) + " | sort by (offset desc) | limit 1 | fields offset, id"}
		asking, cancel := context.WithTimeout(ctx, askMost) // the caller holds what all wait for
		err = in.o.Engine.Rows().Query(asking, q, func(row []vlogs.Field) (err error) {
			for _, f := range row {
				switch f.Name {
				case "offset":
					found = true
					off, err = strconv.ParseUint(f.Value, 10, 64)
				case "id":
					id = strings.Clone(f.Value)
				}
			}
			return err
		})
		cancel()
		if err != nil {
			return 0, "", false, fmt.Errorf("ask what the store holds: %w", err)
		}
		high = from
	}
	return off, id, found, nil
}

// findJoints finds out, where the place was lost, of which logs the one with a number is a
// restored copy, from the newest row of each on: it is the event that the log has there.
// What the log has no more says nothing, and is not needed.
func (in *Ingest) findJoints(ctx context.Context, number uint64) (joints []Joint, err error) {
	for n := number; len(joints) < maxJoints; n-- {
		of := Place{Log: n}
		if len(joints) > 0 {
			same, err := in.holdsLast(ctx, &of, joints[0].From)
			if err != nil {
				return nil, err
			}
			if !same {
				break
			}
		}
		from, err := in.number(ctx, vlogs.Query{Text: of.rows(0, 0) + " | stats min(offset) n"})
		if err != nil {
			return nil, err
		}
		joints = slices.Insert(joints, 0, Joint{From: from, Log: n})
		if from == 0 || n == 0 {
			break
		}
	}
	if len(joints) < 2 {
		return nil, nil
	}
	joints[0].From = 0
	return joints, nil
}

// holdsLast reports whether the log that is read has the last event that is a row of another
// before an offset.
func (in *Ingest) holdsLast(ctx context.Context, of *Place, before stream.Offset) (bool, error) {
	row, id, found, err := in.lastRow(ctx, of, 0, before)
	if err != nil || !found {
		return false, err
	}
	logged, err := in.peek(ctx, row)
	return err == nil && logged.found && logged.offset == row && logged.id == id, err
}

// joinLog goes on behind an offset up to which the log is the one that was read. The caller
// holds mu, or nothing runs yet.
func (in *Ingest) joinLog(ctx context.Context, at, tail stream.Offset) error {
	last, err := in.peek(ctx, at-1)
	if err != nil {
		return err
	}
	p := in.place.clone()
	old := p.Log
	if len(p.Joints) == 0 {
		p.Joints = []Joint{{Log: old}}
	}
	p.Joints = slices.DeleteFunc(p.Joints, func(j Joint) bool { return j.From >= at })
	p.Log++
	p.Joints = append(p.Joints, Joint{From: at, Log: p.Log})
	p.Bounds = slices.DeleteFunc(in.boundsOf(&p), func(b Bound) bool { return b.From >= at && b.From > 0 })
	p.Offset, p.Last, p.Refill = at, last.id, nil
	p.addGap(Gap{
		Log: old, From: in.place.Offset, To: in.place.Offset, Cause: causeReplaced, Time: in.o.Now().UTC(),
		Reason: "the hub's log was restored from a backup that ends before the store's place: what it held behind that place is not known",
	})
	in.giveUpRebuilds(&p)
	if err := p.save(in.o.FS, in.o.Path); err != nil {
		return err
	}
	in.o.Logger.WarnContext(ctx, "the hub's log was restored from a backup: the store goes on where it parts from the one before, and keeps what it has",
		obs.KeyOffset, at, "before", in.place.Offset, "tail", tail, "log", p.Log)
	in.goToLog(ctx, p)
	return nil
}
