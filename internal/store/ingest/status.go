package ingest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/keeper"
	"github.com/amoskys/amoskys/internal/stream"
)

// show has status know what is so. The caller holds mu.
func (in *Ingest) show() {
	if in.rows == nil || in.rows.Len() == 0 {
		in.flight.passed(in.next)
	}
	in.view.Lock()
	in.view.place, in.view.next, in.view.oldest, in.view.lost = in.place, in.next, in.oldest, in.lost
	clear(in.view.days)
	maps.Copy(in.view.days, in.days)
	clear(in.view.thinned)
	maps.Copy(in.view.thinned, in.thinned)
	in.view.Unlock()
}

// Place returns what is durably stored.
func (in *Ingest) Place() Place {
	in.view.Lock()
	defer in.view.Unlock()
	return in.view.place.clone()
}

// Log is the number of the log that is read, of which Inserted is an offset.
func (in *Ingest) Log() uint64 {
	in.view.Lock()
	defer in.view.Unlock()
	return in.view.place.Log
}

// Inserted is the offset before which the engine has every event that the log had. A
// query finds them once the engine has flushed (vlogs.Client.Flush), or a second or two
// later.
func (in *Ingest) Inserted() stream.Offset {
	in.view.Lock()
	durable := in.view.place.Offset
	in.view.Unlock()
	if in.o.Engine.State().Starts != in.epoch.Load() {
		return durable // the engine's process is another one than had the rest
	}
	if next, ok := in.flight.before(); ok {
		return max(next, durable)
	}
	return durable // what is behind it may be lost, and is read again
}

// Next is the offset before which every event that the log had was taken; the last of
// them may be on their way to the engine.
func (in *Ingest) Next() stream.Offset {
	in.view.Lock()
	defer in.view.Unlock()
	return in.view.next
}

// Lag is how many events of the log the engine does not have yet.
func (in *Ingest) Lag() uint64 {
	tail := in.o.Source.Tail()
	return tail - min(tail, in.Inserted())
}

// States of a store, and of its days.
const (
	stateOK         = "ok"
	stateDegraded   = "degraded"
	stateFailed     = "failed"
	stateRebuilding = "rebuilding"
	stateSetAside   = "set_aside"
)

// noRoom is with how few free bytes nothing that the store does can be expected to work.
const noRoom = 1 << 20

// Status tells people how the store does.
func (in *Ingest) Status() *pb.StoreStatus {
	engine := in.o.Engine.State()
	in.view.Lock()
	place, oldest := in.view.stored(), in.view.oldest
	v := viewCopy{false, in.view.trouble, in.view.freeing, in.view.crowded, in.view.rebuild}
	in.view.Unlock()
	next, tail := in.Inserted(), in.o.Source.Tail()
	s := &pb.StoreStatus{
		NextOffset: next, LagEvents: tail - min(tail, next), RetentionBytes: uint64(max(in.o.Retention.Bytes, 0)),
		Retention:      durationpb.New(in.o.Retention.bounds().Past),
		EngineRestarts: uint64(max(engine.Restarts, 0)),
	}
	v.readOnly = in.full()
	if free, err := in.o.Free(); err == nil {
		s.FreeBytes = free
		v.readOnly = v.readOnly || free < noRoom && !in.o.Refill // whatever fails over it says something else; a cluster may not know it yet
	}
	s.Days = in.listDays(&place, &v.rebuild, &engine)
	for _, d := range s.GetDays() {
		s.Events += d.GetEvents()
		s.Bytes += d.GetBytes()
	}
	for _, n := range place.Thinned {
		s.Thinned += n
	}
	for _, d := range slices.Backward(s.GetDays()) {
		if at, err := time.Parse(time.DateOnly, d.GetDay()); err == nil && d.GetEvents() > 0 {
			// Of a day that is not known to its first event, its beginning.
			if first := time.Unix(0, oldest); oldest != 0 && first.After(at) {
				at = first
			}
			s.OldestTime = timestamppb.New(at)
			break
		}
	}
	s.State, s.Reason = in.judge(&engine, &v, &place)
	return s
}

// Filling reports whether the engine is filled again from the log, in whole or in part.
func (in *Ingest) Filling() bool {
	in.view.Lock()
	defer in.view.Unlock()
	return in.view.place.Refill != nil || len(in.view.place.Rebuilds) > 0
}

// Lost counts events that the log once had and the engine has no more, or never had.
func (in *Ingest) Lost() (n uint64) {
	in.view.Lock()
	defer in.view.Unlock()
	for _, g := range in.view.place.Gaps {
		n += max(g.Count, 1)
	}
	return n
}

// Oldest is the time of the oldest event, to the day where it is not known better; zero
// where there is none.
func (in *Ingest) Oldest() time.Time {
	in.view.Lock()
	defer in.view.Unlock()
	if in.view.oldest != 0 {
		return time.Unix(0, in.view.oldest)
	}
	first := time.Time{}
	for name, n := range in.view.place.Days {
		if at, err := time.Parse(dayFormat, name); err == nil && n > 0 && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// Unread says why the log is not read now, so that nobody here knows what it has got since
// then, the zero time where it never was; "" where it is read. A store that stands by is told
// by the one that writes how far that is.
func (in *Ingest) Unread() (why string, since time.Time) {
	if in.standsBy() {
		return "", time.Time{}
	}
	r := in.Reader()
	if r == nil {
		in.view.Lock()
		why = in.view.trouble
		in.view.Unlock()
		return cmp.Or(why, in.o.Engine.State().Reason, "the store starts"), time.Time{}
	}
	switch s := r.Status(); {
	case s.State != stream.ReaderOK && s.State != stream.ReaderBehind:
		return cmp.Or(s.Reason, string(s.State)), s.Seen
	case s.Seen.IsZero():
		return cmp.Or(in.o.Engine.State().Reason, "the hub has not said yet how long it is"), time.Time{}
	}
	return "", time.Time{}
}

// standsBy reports whether another store feeds the engine, so that this one reads nothing.
func (in *Ingest) standsBy() bool {
	owner, ours := in.Writer()
	return !ours && owner != ""
}

// full reports whether events wait until there is room on the disk. Without any that
// wait, the engine was not asked since and there may be room again.
func (in *Ingest) full() bool {
	in.view.Lock()
	readOnly := in.view.readOnly
	in.view.Unlock()
	return readOnly && (in.o.Source.Tail() == 0 || in.Lag() > 0)
}

// stored is the place with all rows that the engine was given: a barrier may be a minute
// away. The caller holds the mutex.
func (v *view) stored() Place {
	p := v.place.clone()
	for day, n := range v.days {
		p.Days[dayName(day)] = n
	}
	for day, n := range v.thinned {
		p.Thinned[dayName(day)] = n
	}
	for day := range v.removed {
		delete(p.Days, day)
		delete(p.Thinned, day)
	}
	return p
}

// viewCopy is what judge looks at.
type viewCopy struct {
	readOnly                  bool
	trouble, freeing, crowded string
	rebuild                   Rebuild
}

// judge says how the store does and why.
func (in *Ingest) judge(engine *keeper.State, v *viewCopy, place *Place) (state, reason string) {
	rebuilds := len(place.Rebuilds)
	state = stateOK
	var reasons []string
	note := func(to, why string) {
		if state == stateOK || to == stateFailed {
			state = to
		}
		reasons = append(reasons, why)
	}
	if v.readOnly {
		note(stateDegraded, "the disk is nearly full: events wait in the log until there is room")
	}
	switch {
	case !engine.Running:
		note(stateFailed, "the engine does not serve: "+engine.Reason)
	case engine.Silent > 0:
		note(stateFailed, fmt.Sprintf("the engine has not answered for %s: it is started again if it does not within a minute", engine.Silent.Round(time.Second)))
	}
	if v.trouble != "" {
		note(stateDegraded, "the log is not read yet: "+v.trouble)
	}
	if v.freeing != "" {
		note(stateDegraded, "old events cannot be removed: "+v.freeing)
	}
	if v.crowded != "" {
		note(stateDegraded, v.crowded)
	}
	if n := place.refusedSince(in.o.Now().Add(-refusedShown)); n > 0 {
		note(stateDegraded, fmt.Sprintf("%d events are not stored, as the engine does not take them: the log has them, and answers name their days", n))
	}
	if place.Refill != nil {
		note(stateDegraded, place.Refill.text(place.Offset))
	}
	if rebuilds > 0 {
		note(stateDegraded, rebuildText(&v.rebuild, rebuilds))
	}
	if r := in.Reader(); r != nil && !in.standsBy() {
		switch s := r.Status(); s.State {
		case stream.ReaderOK:
		case stream.ReaderBehind: // by how much, the lag says
			note(stateDegraded, "it catches up with the log")
		default:
			note(stateDegraded, "reading the log: "+cmp.Or(s.Reason, string(s.State)))
		}
	}
	return state, strings.Join(reasons, "; ")
}

func rebuildText(r *Rebuild, n int) string {
	if r.Day == "" {
		return strconv.Itoa(n) + " days are to be rebuilt from the log"
	}
	return fmt.Sprintf("day %s is rebuilt from the log: %d%%", r.Day, r.percent())
}

func (r *Rebuild) percent() uint64 {
	if !r.Begun || r.Until <= r.From {
		return 0
	}
	return min(100, (r.Next-r.From)*100/(r.Until-r.From))
}

// listDays lists the days, newest first.
func (in *Ingest) listDays(p *Place, now *Rebuild, engine *keeper.State) []*pb.StoreDay {
	by := map[string]*pb.StoreDay{}
	day := func(name string) *pb.StoreDay {
		if by[name] == nil {
			by[name] = &pb.StoreDay{Day: name, State: stateOK}
			if at, err := time.Parse(dayFormat, name); err == nil {
				by[name].Day = at.Format(time.DateOnly)
			}
		}
		return by[name]
	}
	for name, n := range p.Days {
		day(name).Events = n
	}
	if days, err := in.o.Engine.Days(); err == nil {
		for _, d := range days {
			day(d.Name).Bytes = uint64(max(d.Bytes, 0))
		}
	}
	for _, a := range engine.SetAside {
		if a.Rebuilt.IsZero() {
			d := day(a.Day)
			d.State, d.Reason = stateSetAside, a.Why
		}
	}
	for i := range p.Rebuilds {
		r := &p.Rebuilds[i]
		if r.Folder == now.Folder {
			r = now
		}
		d := day(r.Day)
		d.State, d.Events = stateRebuilding, d.Events+r.Stored
		d.Reason = rebuildText(r, 1)
	}
	for name, n := range p.Thinned {
		day(name).Thinned = n
	}
	days := make([]*pb.StoreDay, 0, len(by))
	for _, d := range by {
		days = append(days, d)
	}
	slices.SortFunc(days, func(a, b *pb.StoreDay) int { return strings.Compare(b.GetDay(), a.GetDay()) })
	return days
}

// Lacks are the parts of a range of times that the store does not have, as far as it
// knows; zero times are no bounds. What the log lost is told without a time, as nobody
// knows of when it was.
func (in *Ingest) Lacks(since, until time.Time) []*pb.Lack {
	in.view.Lock()
	place, now := in.view.place, in.view.rebuild
	in.view.Unlock()
	var lacks []*pb.Lack
	for _, g := range place.Gaps {
		switch {
		case g.OfStore() && isOf(g.Day, since, until):
			l := &pb.Lack{Place: "store", Count: g.Count, Reason: g.Reason}
			l.Since, l.Until = dayRange(g.Day)
			lacks = append(lacks, l)
		case !g.OfStore() && g.Cause != string(stream.CauseRemoved):
			lacks = append(lacks, &pb.Lack{Place: "log", Count: g.Count, Reason: g.Reason})
		case g.Cause == string(stream.CauseRemoved):
			lacks = append(lacks, &pb.Lack{Place: "log", Count: g.Count, Reason: "the log removed them by age or size before the store had read them"})
		}
	}
	if r := place.Refill; r != nil {
		l := &pb.Lack{Place: "store", Reason: "the store's cluster: " + r.text(place.Offset)}
		for name, had := range r.Had {
			if isOf(name, since, until) {
				l.Count += had - min(had, place.Days[name])
			}
		}
		lacks = append(lacks, l)
	}
	for _, r := range place.Rebuilds {
		if r.Folder == now.Folder {
			r = now
		}
		if isOf(r.Day, since, until) {
			l := &pb.Lack{Place: "store", Count: r.Had - min(r.Had, r.Stored), Reason: rebuildText(&r, 1)}
			l.Since, l.Until = dayRange(r.Day)
			lacks = append(lacks, l)
		}
	}
	return lacks
}

func dayRange(day string) (since, until *timestamppb.Timestamp) {
	at, err := time.Parse(dayFormat, day)
	if err != nil {
		return nil, nil
	}
	return timestamppb.New(at), timestamppb.New(at.AddDate(0, 0, 1))
}
