// Package lane leads the frames of one source to flows: through a filter, the
// decoder, the table and the engine that identifies. A program has one Lane for each
// source, and each its own of these, so that nothing is shared and nothing waits.
package lane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// Options set up a Lane.
type Options struct {
	// Source is required; who made it closes it.
	Source capture.Source
	// Table says how flows are made; its Engine is the Lane's.
	Table track.Options
	// Identify sets up the Engine. NoEngine leaves flows unidentified.
	Identify dissect.Options
	NoEngine bool
	// Keep says which frames are taken; nil takes all.
	Keep func(f *packet.Frame) bool
	// Kept is called with each frame in which there is an IP packet, after that was
	// decoded, in the goroutine of Run; nil is not called. It must not wait.
	Kept func(f *packet.Frame, p *packet.Packet)
	// Pace is called with the time of each frame before it is taken, so that who
	// replays may wait; nil waits for nothing. An error of it ends Run.
	Pace func(ctx context.Context, at int64) error
	// Every is called about every 8,192 frames and whenever the source is quiet, in
	// the goroutine of Run; nil is not called.
	Every func(Counts)
	// Now is the clock of a source that is quiet; nil is time.Now.
	Now func() time.Time
}

// Counts are what a Lane has seen.
type Counts struct {
	// Frames were taken, Filtered were not wanted.
	Frames, Filtered uint64
	// Faults counts frames that could not be read to their end, by packet.Fault.
	Faults    [packet.Faults]uint64
	Fragments packet.FragmentStats
	Table     track.Stats
	Engine    dissect.Stats
}

// Lane makes flows of one source. One goroutine uses it.
type Lane struct {
	o       Options
	decoder packet.Decoder
	table   *track.Table
	engine  *dissect.Engine
	counts  Counts
	frames  [track.MaxBatch]packet.Frame
	packets [track.MaxBatch]packet.Packet
	room    []packet.Frame // what of frames is read into at once
}

// New returns a Lane that has read nothing.
func New(o Options) *Lane {
	l := &Lane{o: o}
	if !o.NoEngine {
		l.engine = dissect.New(o.Identify)
		l.o.Table.Engine = l.engine
	}
	if l.o.Now == nil {
		l.o.Now = time.Now
	}
	l.room = l.frames[:]
	if o.Pace != nil {
		l.room = l.frames[:1] // Each frame has its own time.
	}
	l.table = track.New(l.o.Table)
	return l
}

// often is how many frames are read between two looks at the rest of the world.
const often = 8192

// Run reads the source until its end, which is no error, or until ctx ends. Flows go
// on after it: a source that comes back can be given to Resume. Close ends them.
func (l *Lane) Run(ctx context.Context) error {
	for since := 0; ; {
		n, err := capture.Batch(l.o.Source, l.room)
		switch {
		case err == nil:
			if err := l.take(ctx, l.frames[:n]); err != nil {
				return err
			}
			since += n
		case errors.Is(err, capture.ErrQuiet):
			l.table.Advance(l.o.Now().UnixNano())
			since = often // look
		case errors.Is(err, io.EOF):
			l.look()
			return nil
		default:
			l.look()
			return fmt.Errorf("capture: %w", err)
		}
		if since >= often {
			since = 0
			l.look()
			if ctx.Err() != nil {
				return fmt.Errorf("capture: %w", ctx.Err())
			}
		}
	}
}

// Resume takes another source for the one that ended.
func (l *Lane) Resume(s capture.Source) { l.o.Source = s }

// take counts frames, which were read together, in their flows.
func (l *Lane) take(ctx context.Context, frames []packet.Frame) error {
	n := 0
	for i := range frames {
		f := &frames[i]
		if l.o.Keep != nil && !l.o.Keep(f) {
			l.counts.Filtered++
			continue
		}
		if l.o.Pace != nil {
			if err := l.o.Pace(ctx, f.Time); err != nil {
				return err
			}
		}
		l.counts.Frames++
		p := &l.packets[n]
		if !l.decode(f, p) {
			continue
		}
		if l.o.Kept != nil {
			l.o.Kept(f, p)
		}
		n++
	}
	l.table.AddAll(l.packets[:n])
	return nil
}

// decode reports whether a frame is to be counted.
func (l *Lane) decode(f *packet.Frame, p *packet.Packet) bool {
	err := l.decoder.Decode(f, p)
	if err == nil {
		return true
	}
	if fault, ok := errors.AsType[packet.Fault](err); ok {
		l.counts.Faults[fault]++
	}
	return p.Version != 0
}

func (l *Lane) look() {
	if l.o.Every != nil {
		l.o.Every(l.Counts())
	}
}

// Counts returns what was seen so far.
func (l *Lane) Counts() Counts {
	c := l.counts
	c.Table, c.Fragments = l.table.Stats(), l.decoder.Fragments()
	if l.engine != nil {
		c.Engine = l.engine.Stats()
	}
	return c
}

// Close ends all flows.
func (l *Lane) Close() { l.table.Close() }
