package findings

import (
	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/recent"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// visibility is what flows tell of how well a capture sees: connections of which both
// directions were seen, and such that must have had two and showed one. What is older
// counts ever less.
type visibility struct {
	both, single float64
	window       sight
	interfaces   *recent.Map[string, captured]
	current      string // the interface that the window is of
}

// sight counts flows in one window.
type sight struct {
	start                 int64
	frames                uint64
	toOne, toMany         uint64
	bothWays, onlyOneWays uint64
}

// captured is what one interface gave.
type captured struct {
	frames  uint64
	changed int64 // when frames grew last
	told    int64 // when this was told last
	ever    bool
	quiet   bool
}

// fade is how much of a count is left after each connection: about the last 200 count.
const fade = 0.995

// see notes a flow.
func (v *visibility) see(f *track.Flow) {
	if toMany(f) {
		v.window.toMany++
		return
	}
	v.window.toOne++
	if f.Protocol != protoTCP {
		return
	}
	switch {
	case f.Out.Packets > 0 && f.In.Packets > 0:
		v.both, v.single = v.both*fade+1, v.single*fade
		v.window.bothWays++
	case f.Out.Packets > 1 && f.Out.Flags&packet.ACK != 0, f.In.Packets > 1 && f.In.Flags&packet.ACK != 0:
		v.both, v.single = v.both*fade, v.single*fade+1
		v.window.onlyOneWays++
	}
}

// oneWay reports whether only one direction of connections is seen: what looks
// unanswered then says nothing.
func (v *visibility) oneWay() bool { return v.single >= 8 && v.both < v.single/20 }

// traffic judges what an interface gave: nothing for a while, groups and broadcasts
// alone, or one direction. Without a name nothing is captured, which is no finding:
// the agent says so itself.
func (w *Watch) traffic(name string, s capture.Stats) {
	if name == "" {
		return
	}
	v, window := &w.visibility, seconds(w.cfg.Traffic.WindowSeconds)
	c, fresh := v.interfaces.Use(name)
	if fresh = fresh || name != v.current && w.elapsed(c.told, window); fresh { // What was long away begins anew.
		*c = captured{changed: w.now, frames: s.Frames}
	}
	c.told = w.now
	if w.now < c.changed {
		c.changed = w.now
	}
	grown := s.Frames
	if s.Frames >= c.frames {
		grown -= c.frames
	}
	c.frames = s.Frames
	found := sighting{subject: subject{kind: QuietInterface, name: name}, count: 1, more: 1}
	switch {
	case grown > 0:
		c.changed, c.ever = w.now, true
		if c.quiet {
			c.quiet = false
			found.over = true
			w.raise(found)
		}
	case w.now-c.changed >= window:
		c.quiet = true
		found.numbers = [4]float64{float64(w.now-c.changed) / 1e9, float64(s.Frames)}
		w.raise(found)
	}
	// Flows do not say of which interface they are. Where several are told of in turn
	// no window comes to its end; where the capture moved to another, the window of that
	// begins.
	if fresh || name != v.current {
		v.current, v.window = name, sight{start: w.now}
		return
	}
	v.window.frames += grown
	if w.elapsed(v.window.start, window) {
		w.judgeSight(name, &v.window)
		v.window = sight{start: w.now}
	}
}

// judgeSight judges a window.
func (w *Watch) judgeSight(name string, s *sight) {
	if s.frames == 0 {
		return
	}
	found := sighting{subject: subject{name: name}, count: 1, more: 1}
	switch {
	case s.toOne == 0 && s.frames >= uint64(w.cfg.Traffic.MinFrames):
		found.kind, found.numbers = OnlyBroadcasts, [4]float64{float64(s.frames), float64(s.toMany)}
	case s.onlyOneWays >= uint64(w.cfg.Traffic.MinConnections) && s.bothWays < s.onlyOneWays/20:
		found.kind, found.numbers = OneDirection, [4]float64{float64(s.onlyOneWays), float64(s.bothWays)}
	default:
		return
	}
	w.raise(found)
}
