package collect

import (
	"net/netip"
	"time"

	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/recent"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// JoinOptions set up a Joiner. Values of 0 stand for their defaults.
type JoinOptions struct {
	// Window is how long a record waits for that of the other direction, and for how
	// long samples of sFlow are added up: 15 s, which is when most routers give up a
	// flow that is idle.
	Window time.Duration
	// Max is how many records wait at once: 65,536. A further one makes another be told as
	// it is: the oldest of its own exporter, if that has its share of the room, else of the
	// exporter that has most.
	Max int
}

// Joiner makes one record of the two that most exporters send of a conversation, and
// says who began it. One goroutine uses it.
//
//	the other direction came, at about the same time   one record with both
//	the same direction came again                      the earlier goes as it is
//	a sample of sFlow                                  added, until the window ends
//	nothing came within the window                     one-sided
type Joiner struct {
	window  int64
	max     int
	places  map[joinKey]uint32
	entries []waiting // the first is none
	free    []uint32
	oldest  uint32
	newest  uint32
	shares  map[netip.Addr]share
	pieces  *recent.Map[joinKey, piece]
	stats   JoinStats
	now     int64 // when records were worked off last, in Unix nanoseconds
}

// share is what waits of one exporter.
type share struct {
	count          int
	oldest, newest uint32
}

// JoinStats are counts since a Joiner was made.
type JoinStats struct {
	// Joined records have both directions, of two records or more; OneSided waited in
	// vain; Early were told before their window ended, for want of room.
	Joined, OneSided, Early uint64
	// Continued records go on where one of the same flow ended.
	Continued uint64
	// Held is how many records wait for their other direction now.
	Held uint64
}

// joinKey is the same for both directions.
type joinKey struct {
	exporter           netip.Addr
	low, high          packet.Addr
	lowPort, highPort  uint16
	protocol, sampling uint8
}

// waiting is a record whose other direction may still come.
type waiting struct {
	key     joinKey
	record  Record
	due     int64 // Unix nanoseconds, by Received
	later   uint32
	earlier uint32
	// The same of its exporter alone.
	laterOwn, earlierOwn uint32
	firstReverse         int64 // Start of the other direction, where it came
}

// NewJoiner returns a Joiner in which nothing waits.
func NewJoiner(o JoinOptions) *Joiner {
	if o.Window <= 0 {
		o.Window = 15 * time.Second
	}
	if o.Max <= 0 {
		o.Max = 65_536
	}
	return &Joiner{
		window: int64(o.Window), max: o.Max, places: map[joinKey]uint32{}, entries: make([]waiting, 1), shares: map[netip.Addr]share{},
		pieces: recent.New[joinKey, piece](max(1, o.Max/2)),
	}
}

// Stats returns the counts.
func (j *Joiner) Stats() JoinStats {
	s := j.stats
	s.Held = uint64(len(j.places))
	return s
}

// Add takes a record, of which it keeps a copy, and tells what is complete. Records
// that are told are the Joiner's and valid during the call.
func (j *Joiner) Add(r *Record, tell func(*Record)) {
	j.Advance(r.Received, tell)
	if r.Both || isMessage(r) {
		whole := *r
		j.conclude(&whole, whole.Start, whole.Start, tell)
		return
	}
	key := joinKeyOf(r)
	at, found := j.places[key]
	if !found {
		j.keep(key, r, tell)
		return
	}
	w := &j.entries[at]
	switch same := w.record.Src == r.Src && w.record.SrcPort == r.SrcPort && w.record.ICMPType == r.ICMPType; {
	case r.Format == SFlow5:
		w.sample(r, same)
	case same || !w.record.overlaps(r):
		j.release(at, tell)
		j.keep(key, r, tell)
	default:
		w.reverse(r)
		j.release(at, tell)
	}
}

// Advance tells what waited long enough at now, in Unix nanoseconds.
func (j *Joiner) Advance(now int64, tell func(*Record)) {
	// The time of working off, which is behind that of receipt where datagrams wait; a clock
	// that was set back is followed.
	if now > j.now || j.now-now > j.window {
		j.now = now
	}
	for j.oldest != 0 && j.entries[j.oldest].due <= now {
		j.release(j.oldest, tell)
	}
}

// Close tells all that waits.
func (j *Joiner) Close(tell func(*Record)) {
	for j.oldest != 0 {
		j.release(j.oldest, tell)
	}
}

func (j *Joiner) keep(key joinKey, r *Record, tell func(*Record)) {
	if len(j.places) >= j.max {
		j.stats.Early++
		j.release(j.crowded(key.exporter), tell)
	}
	var at uint32
	if last := len(j.free) - 1; last >= 0 {
		at, j.free = j.free[last], j.free[:last]
	} else {
		at = uint32(len(j.entries))
		j.entries = append(j.entries, waiting{})
	}
	own := j.shares[key.exporter]
	j.entries[at] = waiting{key: key, record: *r, due: max(r.Received, j.now) + j.window, earlier: j.newest, earlierOwn: own.newest}
	if j.newest != 0 {
		j.entries[j.newest].later = at
	} else {
		j.oldest = at
	}
	j.newest = at
	if own.newest != 0 {
		j.entries[own.newest].laterOwn = at
	} else {
		own.oldest = at
	}
	own.newest = at
	own.count++
	j.shares[key.exporter] = own
	j.places[key] = at
}

// compared is how many exporters are compared at most to find the one that has most.
const compared = 256

// crowded is the record that is to make room for one of an exporter.
func (j *Joiner) crowded(from netip.Addr) uint32 {
	most := j.shares[from]
	if most.count > 0 && most.count >= j.max/len(j.shares) {
		return most.oldest
	}
	seen := 0
	for _, s := range j.shares { // Where there are more, chance says which.
		if s.count > most.count {
			most = s
		}
		if seen++; seen >= compared {
			break
		}
	}
	return most.oldest
}

// release takes an entry out and tells its record.
func (j *Joiner) release(at uint32, tell func(*Record)) {
	w := &j.entries[at]
	if w.earlier != 0 {
		j.entries[w.earlier].later = w.later
	} else {
		j.oldest = w.later
	}
	if w.later != 0 {
		j.entries[w.later].earlier = w.earlier
	} else {
		j.newest = w.earlier
	}
	j.give(w)
	delete(j.places, w.key)
	j.free = append(j.free, at)
	r := w.record
	if r.Both {
		j.stats.Joined++
	} else if answers(&r) {
		j.stats.OneSided++
	}
	first := r.Start
	other := w.firstReverse
	if other == 0 {
		other = first
	}
	r.Start = min(first, other)
	j.conclude(&r, first, other, tell)
}

// give takes an entry out of those of its exporter.
func (j *Joiner) give(w *waiting) {
	own := j.shares[w.key.exporter]
	if w.earlierOwn != 0 {
		j.entries[w.earlierOwn].laterOwn = w.laterOwn
	} else {
		own.oldest = w.laterOwn
	}
	if w.laterOwn != 0 {
		j.entries[w.laterOwn].earlierOwn = w.earlierOwn
	} else {
		own.newest = w.earlierOwn
	}
	if own.count--; own.count == 0 {
		delete(j.shares, w.key.exporter)
		return
	}
	j.shares[w.key.exporter] = own
}

// reverse adds the record of the other direction.
func (w *waiting) reverse(r *Record) {
	w.record.Both = true
	w.firstReverse = r.Start
	w.record.In = r.Out
	w.merge(r)
	if w.record.DstAS == 0 {
		w.record.DstAS = r.SrcAS
	}
	if w.record.SrcAS == 0 {
		w.record.SrcAS = r.DstAS
	}
}

// sample adds a sample of sFlow, of the same direction or of the other.
func (w *waiting) sample(r *Record, same bool) {
	side := &w.record.Out
	if !same {
		side = &w.record.In
		if !w.record.Both {
			w.record.Both, w.firstReverse = true, r.Start
		}
	}
	side.Bytes += r.Out.Bytes
	side.Packets += r.Out.Packets
	side.Flags |= r.Out.Flags
	w.merge(r)
}

func (w *waiting) merge(r *Record) {
	w.record.End = max(w.record.End, r.End)
	w.record.SamplingRate = max(w.record.SamplingRate, r.SamplingRate)
	w.record.EndReason = max(w.record.EndReason, r.EndReason)
	w.record.Received = max(w.record.Received, r.Received)
}

// slack is how far apart the two directions may lie in time, in nanoseconds.
const slack = int64(5e9)

func (r *Record) overlaps(other *Record) bool {
	return r.Start-slack <= other.End && other.Start-slack <= r.End
}

// joinKeyOf orders the two ends. An ICMP exchange has the types of question and
// answer for ports, as a Community ID has.
func joinKeyOf(r *Record) joinKey {
	src, dst := r.ports()
	k := joinKey{exporter: r.Exporter, low: r.Src, high: r.Dst, lowPort: src, highPort: dst, protocol: r.Protocol}
	if r.Format == SFlow5 {
		k.sampling = 1
	}
	if order := netip.AddrFrom16(r.Src).Compare(netip.AddrFrom16(r.Dst)); order > 0 || order == 0 && src > dst {
		k.low, k.high, k.lowPort, k.highPort = r.Dst, r.Src, dst, src
	}
	return k
}

// ports are those of a Community ID.
func (r *Record) ports() (src, dst uint16) {
	if !r.HasICMP {
		return r.SrcPort, r.DstPort
	}
	if answer, paired := track.Counterpart(r.Protocol, r.ICMPType); paired {
		return uint16(r.ICMPType), uint16(answer)
	}
	return uint16(r.ICMPType), uint16(r.ICMPCode)
}

// isMessage reports whether a record is of ICMP that is not answered.
func isMessage(r *Record) bool {
	if !r.HasICMP {
		return false
	}
	_, paired := track.Counterpart(r.Protocol, r.ICMPType)
	return !paired
}

// hasPorts reports whether the protocol has ports.
func hasPorts(protocol uint8) bool {
	switch protocol {
	case protoTCP, protoUDP, protoSCTP, 33, 136: // DCCP, UDP-Lite
		return true
	}
	return false
}

// answers reports whether one direction alone is worth noting.
func answers(r *Record) bool {
	return hasPorts(r.Protocol) || r.HasICMP && !isMessage(r)
}

const (
	flagSYN = packet.SYN
	flagACK = packet.ACK
)

// began reports whether the source began, as far as a record tells: by the kind of
// ICMP message; by the SYN that came first; by the port that servers use; in TCP by
// the higher port; else by who was seen first.
func (r *Record) began(first, other int64) bool {
	if r.HasICMP {
		_, paired := track.Counterpart(r.Protocol, r.ICMPType)
		return !paired || track.Asks(r.Protocol, r.ICMPType)
	}
	if !hasPorts(r.Protocol) || r.Dst.ToMany() {
		return first <= other
	}
	if r.Protocol == protoTCP {
		switch out, in := r.Out.Flags, r.In.Flags; {
		case out&(flagSYN|flagACK) == flagSYN && in&(flagSYN|flagACK) != flagSYN:
			return true
		case out&in&flagSYN != 0 && first != other:
			return first < other
		}
	}
	from, to := track.Serves(r.SrcPort), track.Serves(r.DstPort)
	switch {
	case from != to:
		return to
	case r.Protocol == protoTCP && r.SrcPort != r.DstPort:
		return r.SrcPort > r.DstPort
	}
	return first <= other
}
