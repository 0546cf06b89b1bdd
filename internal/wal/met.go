package wal

import (
	"errors"
	"slices"
)

// MaxMet bounds Stat.Met. While so many places are on record, further ones are
// not added.
const MaxMet = 64

// note puts a bad place that a reader returns on record, and what the disk cannot
// read.
func (r *Reader) note(err error) {
	lost, ok := errors.AsType[*CorruptionError](err)
	switch {
	case ok:
		r.log.meet(lost)
	case r.seg != nil:
		r.log.meet(&CorruptionError{Segment: r.seg.name, Position: r.scan.pos, First: r.next, Next: r.next, Reason: err.Error()})
	}
}

// meet puts a bad place on record, unless it is there already or opening the log
// has found it.
func (l *Log) meet(lost *CorruptionError) {
	same := func(d Damage) bool {
		return d.Segment == lost.Segment && (d.Position == lost.Position || d.FirstBad == lost.First)
	}
	v := l.view.Load()
	l.statMu.Lock()
	defer l.statMu.Unlock()
	l.met = slices.DeleteFunc(l.met, v.lacks)
	if len(l.met) == MaxMet || slices.ContainsFunc(l.met, same) || slices.ContainsFunc(l.recovery.Damage, same) {
		return
	}
	l.met = append(l.met, Damage{Segment: lost.Segment, Position: lost.Position, FirstBad: lost.First, Reason: lost.Reason})
}

// lacks reports whether the segment of d is no longer in the log.
func (v *view) lacks(d Damage) bool {
	return !slices.ContainsFunc(v.segs, func(s *segment) bool { return s.name == d.Segment })
}
