package flow

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/tell"
	"github.com/amoskys/amoskys/internal/flow/track"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// flowKey tells a flow from others, and from later ones between the same ends, by its
// Community ID.
type flowKey struct {
	id    string
	first int64
}

// noteKey does so by what the Community ID is made of.
type noteKey struct {
	id    entity.FlowID
	first int64
}

// teller is told of the flows of one lane, in the lane's goroutine, and queues their
// events.
type teller struct {
	a      *Agent
	around tell.Surroundings
	at     int64 // time of the flow that is told
	// notes are of flows that are withheld or were told more than once, so that what
	// they had then is not counted again. There are at most as many as flows.
	notes map[noteKey]note
}

// note is what is known of a flow that has not ended.
type note struct {
	withheld bool       // its flow.created, for want of bytes
	probe    bool       // it is of a scan of this host, and never told
	out, in  track.Side // as counted so far
}

func newTeller(a *Agent) *teller {
	t := &teller{a: a, notes: map[noteKey]note{}}
	t.around = tell.Surroundings{
		Own:       a.own.has,
		Interface: func(uint16) string { return a.helm.name() },
	}
	if a.cfg.Enrichment.Hostnames {
		t.around.Name = func(addr packet.Addr) string { return a.names.of(addr, t.at) }
	}
	return t
}

// enough reports whether a flow has the bytes to be told.
func (t *teller) enough(f *track.Flow) bool {
	return f.Out.Bytes+f.In.Bytes >= t.a.cfg.Aggregation.MinBytesThreshold
}

// Opened implements track.Consumer.
func (t *teller) Opened(f *track.Flow) {
	if t.a.probes(f) {
		t.notes[noteKey{f.ID, f.First}] = note{probe: true}
		return
	}
	if t.a.watch != nil {
		t.a.watch.Opened(f)
	}
	if !t.enough(f) {
		t.notes[noteKey{f.ID, f.First}] = note{withheld: true}
		return
	}
	t.tell(f, event.TypeFlowCreated, f.First)
}

// Updated implements track.Consumer.
func (t *teller) Updated(f *track.Flow) {
	key := noteKey{f.ID, f.First}
	n := t.reveal(f, t.notes[key])
	if n.probe {
		t.count(f, n)
		t.notes[key] = note{probe: true, out: f.Out, in: f.In}
		return
	}
	if t.a.watch != nil {
		t.a.watch.Updated(f)
	}
	if n.withheld && !t.enough(f) {
		return
	}
	if n.withheld {
		t.tell(f, event.TypeFlowCreated, f.First)
	}
	t.count(f, n)
	t.notes[key] = note{out: f.Out, in: f.In}
	t.tell(f, event.TypeFlowUpdated, f.Last)
}

// reveal takes a flow for an ordinary one once it does what a scan's probes do not.
func (t *teller) reveal(f *track.Flow, n note) note {
	if !n.probe || unlike(f) == "" {
		return n
	}
	if t.a.watch != nil {
		t.a.watch.Opened(f)
	}
	n.probe, n.withheld = false, true
	return n
}

// Ended implements track.Consumer.
func (t *teller) Ended(f *track.Flow) {
	key := noteKey{f.ID, f.First}
	n := t.reveal(f, t.notes[key])
	delete(t.notes, key)
	if !n.probe && t.a.watch != nil {
		t.a.watch.Ended(f)
	}
	t.count(f, n)
	t.a.metrics.duration.Observe(time.Duration(f.Last - f.First).Seconds())
	if n.probe {
		t.a.metrics.probes.Inc()
		return
	}
	if n.withheld && !t.enough(f) {
		t.a.metrics.suppressed.Inc()
		return
	}
	if n.withheld {
		t.tell(f, event.TypeFlowCreated, f.First)
	}
	t.tell(f, event.TypeFlowEnded, f.Last)
	if t.a.outlet != nil {
		t.a.outlet.add(f)
	}
}

// DNS is told each question of the lane's flows, with its answer.
func (t *teller) DNS(tuple dissect.Tuple, d *dissect.DNS, at int64) {
	if t.a.watch != nil {
		t.a.watch.DNS(tuple, d, at)
	}
	t.a.names.learn(d, at)
}

// count adds what a flow had since it was counted last.
func (t *teller) count(f *track.Flow, n note) {
	category := "unknown"
	if f.Facts != nil && f.Facts.Category != "" {
		category = f.Facts.Category
	}
	t.a.metrics.add(t.a.helm.name(), category, traffic{
		bytesIn: f.In.Bytes - n.in.Bytes, bytesOut: f.Out.Bytes - n.out.Bytes,
		packetsIn: f.In.Packets - n.in.Packets, packetsOut: f.Out.Packets - n.out.Packets,
	})
}

// tell queues an event of a flow; at is its time, in Unix nanoseconds.
func (t *teller) tell(f *track.Flow, kind string, at int64) {
	t.at = f.Last
	t.a.queue.put(told{
		tuple: f.Tuple, first: f.First,
		event: &pb.Event{
			Type: kind, Time: timestamppb.New(time.Unix(0, at)),
			Body: &pb.Event_Network{Network: t.around.Activity(f)},
		},
	})
}
