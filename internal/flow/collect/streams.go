package collect

import (
	"io"
	"net/netip"
	"time"
)

// stream is a connection of an exporter.
type stream struct {
	from  netip.Addr
	conn  io.Closer
	began time.Time
	whole bool // a message came
	// leaving says that it was closed to make room, and is to end at any moment.
	leaving bool
}

// streams are the connections that there are.
type streams map[*Collector]*stream

// staying is how many there are but for those that are leaving.
func (all streams) staying() (n int) {
	for _, s := range all {
		if !s.leaving {
			n++
		}
	}
	return n
}

// makeRoom closes one connection so that an address may have one more, and reports whether
// it did: of who has most, if that is more than the address would have. Those by which no
// message came go first, then the older.
func (all streams) makeRoom(from netip.Addr) bool {
	has := map[netip.Addr]int{}
	for _, s := range all {
		if !s.leaving {
			has[s.from]++
		}
	}
	var out *stream
	for _, s := range all {
		if !s.leaving && (out == nil || s.before(out, has)) {
			out = s
		}
	}
	if out == nil || has[out.from] <= has[from]+1 {
		return false
	}
	out.leaving = true
	_ = out.conn.Close() // Who reads it ends by that.
	return true
}

// before reports whether a connection is to go before another.
func (s *stream) before(other *stream, has map[netip.Addr]int) bool {
	if a, b := has[s.from], has[other.from]; a != b {
		return a > b
	}
	if s.whole != other.whole {
		return other.whole
	}
	return s.began.Before(other.began)
}
