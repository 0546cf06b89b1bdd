package collect

import "github.com/amoskys/amoskys/internal/flow/packet"

// piece is the last that was told of a flow that may go on: most exporters tell of a long
// one every minute or half an hour (their active timeout), and we of one that sFlow
// samples every window.
type piece struct {
	end   int64 // Unix nanoseconds
	began packet.Addr
	port  uint16
}

const (
	// pause is how long a flow may have been still between two pieces, in nanoseconds:
	// exporters end one that is still for longer.
	pause = int64(60e9)
	// leastPiece is how long the first of several pieces is at least, in nanoseconds, where
	// the exporter does not say why it ended: no exporter's active timeout is shorter.
	leastPiece = int64(10e9)
)

// conclude says who began and whether the flow had been told of before, and tells the
// record. first and other are when the two directions began.
func (j *Joiner) conclude(r *Record, first, other int64, tell func(*Record)) {
	key := joinKeyOf(r)
	last := j.pieces.Look(key)
	if last == nil || !r.follows(last) {
		last = nil
	}
	r.OneSided = answers(r) && r.In.Packets == 0
	switch {
	case r.Initiated:
	case last != nil:
		if r.Src != last.began || r.SrcPort != last.port {
			r.turn()
		}
	case !r.began(first, other):
		r.turn()
	}
	r.Continued = last != nil
	if r.Continued {
		j.stats.Continued++
	}
	if r.goesOn() {
		p, _ := j.pieces.Use(key)
		*p = piece{end: r.End, began: r.Src, port: r.SrcPort}
	} else {
		j.pieces.Drop(key)
	}
	tell(r)
}

// follows reports whether the record goes on where a piece ended.
func (r *Record) follows(p *piece) bool {
	fresh := r.Protocol == protoTCP && (r.Out.Flags|r.In.Flags)&packet.SYN != 0
	return !fresh && r.Start >= p.end-slack && r.Start <= p.end+pause
}

// goesOn reports whether there may be more of the flow than the record tells.
//
//	ended by (flowEndReason)              may go on
//	active timeout, lack of resources     yes
//	idle, end detected, forced            no
//	not said, TCP closed or reset it      no
//	not said, sampled by sFlow            yes
//	not said                              where it lasted 10 s or more
func (r *Record) goesOn() bool {
	switch {
	case r.EndReason != 0:
		return r.EndReason == 2 || r.EndReason == 5
	case r.Protocol == protoTCP && (r.Out.Flags|r.In.Flags)&(packet.FIN|packet.RST) != 0:
		return false
	}
	return r.Format == SFlow5 || r.End-r.Start >= leastPiece
}
