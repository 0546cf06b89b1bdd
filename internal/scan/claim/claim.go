// Package claim lets a scan of this host say which packets are its own, to who watches
// the network from the same host. A scan sends from raw sockets, of which the system does
// not tell who has them, so that it says so itself: from which ports, and with which ids of
// echo requests.
//
// A Desk takes claims at an abstract Unix socket (unix(7)), which every process of the same
// network namespace can reach, and no other: there the ports mean the same. It believes root
// and the user that it runs as itself, as the kernel names them (SO_PEERCRED): whoever is one
// of these could as well end who watches. Others cannot have what they send taken for a scan
// of ours. Who cannot reach a Desk claims nothing, and scans all the same.
//
// A claim is a message of 8 bytes, answered by one byte once it holds: what is said before a
// packet is sent is known before that is seen. All claims of a connection end with it.
package claim

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is what is claimed.
type Kind uint8

const (
	// Port is a port of TCP and UDP from which packets are sent.
	Port Kind = 1 + iota
	// Echo is the id of echo requests of ICMP and ICMPv6.
	Echo
)

const (
	// name is that of the socket, in the abstract namespace.
	name = "@amoskys/own-scans"
	// grace is how long claims hold after their end: what was sent is looked at later.
	grace = 10 * time.Second
	// most is how many scans may be connected; further ones claim nothing.
	most = 64
	// size is that of a message: what to do, kind, first (2 bytes), count (2 bytes), nothing.
	size          = 8
	claims, frees = 1, 2
	done          = 1
	// patience is how long a scan waits for a Desk that does not answer. It claims nothing
	// more then.
	patience = 500 * time.Millisecond
)

// number is a Kind and what is claimed of it.
type number uint32

func numberOf(k Kind, n uint16) number { return number(k)<<16 | number(n) }

// held is a number that is claimed.
type held struct {
	by    int   // how many claim it now
	until int64 // Unix nanoseconds until which it holds where nobody does
}

// Book is what is claimed. Its methods may be called by several goroutines; the zero value
// holds nothing.
type Book struct {
	any atomic.Bool // there are entries
	mu  sync.RWMutex
	all map[number]held
	now func() time.Time // nil is time.Now
}

// Holds says whether a number is claimed, or was a moment ago.
func (b *Book) Holds(k Kind, n uint16) bool {
	if !b.any.Load() {
		return false
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	h, is := b.all[numberOf(k, n)]
	return is && (h.by > 0 || b.time() < h.until)
}

func (b *Book) time() int64 {
	if b.now != nil {
		return b.now().UnixNano()
	}
	return time.Now().UnixNano()
}

// change claims numbers, or frees them, and forgets those that hold no longer.
func (b *Book) change(of []number, by int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.time()
	for n, h := range b.all {
		if h.by == 0 && h.until <= now {
			delete(b.all, n)
		}
	}
	if b.all == nil {
		b.all = map[number]held{}
	}
	for _, n := range of {
		h := b.all[n]
		h.by += by
		h.until = now + int64(grace)
		b.all[n] = h
	}
	b.any.Store(len(b.all) > 0)
}

// message is what is said of some numbers of a kind.
type message struct {
	frees bool
	kind  Kind
	first uint16
	count uint16
}

func (m message) bytes() (b [size]byte) {
	b[0], b[1] = claims, byte(m.kind)
	if m.frees {
		b[0] = frees
	}
	binary.BigEndian.PutUint16(b[2:], m.first)
	binary.BigEndian.PutUint16(b[4:], m.count)
	return b
}

// read reads a message; ok is false for what is none.
func read(b [size]byte) (m message, ok bool) {
	m = message{
		frees: b[0] == frees, kind: Kind(b[1]),
		first: binary.BigEndian.Uint16(b[2:]), count: binary.BigEndian.Uint16(b[4:]),
	}
	ok = (b[0] == claims || b[0] == frees) && (m.kind == Port || m.kind == Echo) && m.count > 0 &&
		int(m.first)+int(m.count) <= 1<<16
	return m, ok
}

// numbers are those of a message.
func (m message) numbers() []number {
	out := make([]number, m.count)
	for i := range out {
		out[i] = numberOf(m.kind, m.first+uint16(i))
	}
	return out
}
