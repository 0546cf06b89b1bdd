package track

import (
	"github.com/amoskys/amoskys/internal/flow/packet"
)

// The sides of a record are 0 and 1, the first and the second of its key.

// counts are what one side sent.
type counts struct{ packets, bytes, payload uint64 }

// hot is what each packet of a flow touches: two cache lines side by side, the first
// with all that finds and judges the flow.
type hot struct {
	key    key
	marks  marks
	seen   tick  // of the last packet
	last   int64 // Unix nanoseconds of the latest packet
	facts  uint32
	flags  [2]uint8
	end    End
	closer uint8 // side

	sides    [2]counts
	expected [2]uint32 // next sequence number of TCP
	next     tick      // when Opened or Updated is due
	_        uint32
}

// cold is what few packets touch.
type cold struct {
	begun int64 // Unix nanoseconds
	// rtt is 0 if unknown, below 0 the negated time of the SYN while its handshake
	// runs, and above 0 the result.
	rtt             int64
	holes           [2][2]hole
	retransmissions [2]uint32
	initial         [2]uint32 // sequence numbers of SYNs
	hash            uint32
	later, earlier  uint32 // in its slot of the wheel
	newer, older    uint32 // among the unanswered
	mac             [2]packet.MAC
	slot            uint16 // of the wheel
	iface           uint16
	tunnels         uint16 // number of the headers around it
}

// hole is a range of sequence numbers that was passed over: from low up to high.
// There is none where they are equal.
type hole struct{ low, high uint32 }

// marks are what is known of a flow beside its counts.
type marks uint16

const (
	// turned: the initiator is the second side.
	turned marks = 1 << iota
	// sure: who began is known and not guessed.
	sure
	// told: Opened was.
	told
	midstream
	// answered: both sides have sent.
	answered
	// unanswered: the record is in the list of those that are evicted first.
	unanswered
	// established: the handshake of TCP was seen to its end, or both sides speak.
	established
	// synAnswered: a SYN with ACK was seen.
	synAnswered
	// known0 and known1: expected is set.
	known0
	known1
	// inspected: the engine has its verdict, or was given up.
	inspected
	// closing: somebody sent FIN or RST first, and closer says who.
	closing
	// used: the record is of a flow now.
	used
)

func (m marks) has(x marks) bool { return m&x != 0 }

// worthMost is what worth says of an established connection of TCP.
const worthMost = 2

// worth ranks flows by what is lost when they go: nothing of what is over, least of
// what may come back at any time.
func (h *hot) worth() int {
	switch {
	case h.end != Alive:
		return 0
	case h.key.protocol != protoTCP || !h.marks.has(established):
		return 1
	}
	return worthMost
}

// initiator is the side that began.
func (h *hot) initiator() uint8 {
	if h.marks.has(turned) {
		return 1
	}
	return 0
}

const (
	chunkBits = 9
	chunkSize = 1 << chunkBits
)

// chunk holds records. It has no pointers: the garbage collector does not look
// inside.
type chunk struct {
	hot  [chunkSize]hot
	cold [chunkSize]cold
}

// records are the chunks, and which of their records are free. Numbers begin at 1.
type records struct {
	chunks []*chunk
	memory memory
	free   []uint32
	made   uint32
}

func (r *records) hot(n uint32) *hot {
	return &r.chunks[n>>chunkBits].hot[n&(chunkSize-1)]
}

func (r *records) cold(n uint32) *cold {
	return &r.chunks[n>>chunkBits].cold[n&(chunkSize-1)]
}

// take returns the number of a free record; what is in it is of another flow.
func (r *records) take() uint32 {
	if last := len(r.free) - 1; last >= 0 {
		n := r.free[last]
		r.free = r.free[:last]
		return n
	}
	r.made++
	if int(r.made>>chunkBits) >= len(r.chunks) {
		r.chunks = append(r.chunks, r.memory.chunk())
	}
	return r.made
}

func (r *records) give(n uint32) { r.free = append(r.free, n) }

// live is how many are taken.
func (r *records) live() int { return int(r.made) - len(r.free) }
