package findings

import (
	"time"

	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
)

type flowKey struct {
	dissect.Tuple
	first int64
}

// uploads is what one source sent out of the internal networks.
type uploads struct {
	start int64
	bytes uint64 // in this window
	mean  float64
	spans int // windows that mean is made of
}

// megabyte is in bytes.
const megabyte = 1_000_000

// upload counts what left since the flow was told last, and compares with what its
// source sends in other hours.
func (w *Watch) upload(f *track.Flow, ended bool) {
	key, sent := flowKey{f.Tuple, f.First}, f.Out.Bytes
	if ended {
		defer w.sent.Drop(key)
	}
	if !w.leaves(f) {
		return
	}
	switch counted, fresh := w.sent.Use(key); {
	case !fresh:
		sent = max(*counted, f.Out.Bytes) - *counted
		*counted = f.Out.Bytes
	case f.Last-f.First > seconds(w.cfg.Upload.WindowSeconds):
		// It was forgotten: what it sent before now is not of this window.
		*counted = f.Out.Bytes
		return
	default:
		*counted = f.Out.Bytes
	}
	w.left(f, sent)
}

// leaves reports whether a flow sends out of the internal networks more than it fetches.
func (w *Watch) leaves(f *track.Flow) bool {
	return f.Out.Payload > f.In.Payload && f.Out.Bytes > 0 && !toMany(f) && !w.internal(f.Dst) && w.internal(f.Src)
}

// left adds what a flow sent, in bytes, to what its source did.
func (w *Watch) left(f *track.Flow, sent uint64) {
	c, window := &w.cfg.Upload, seconds(w.cfg.Upload.WindowSeconds)
	s, fresh := w.uploads.Use(f.Src)
	if fresh {
		*s = uploads{start: w.now}
	}
	for i := 0; w.elapsed(s.start, window); i++ {
		if i == maxSpans || w.now < s.start {
			s.start, s.bytes = w.now, 0
			break
		}
		s.spans++
		s.mean += (float64(s.bytes) - s.mean) / float64(min(s.spans, maxSpans))
		s.bytes = 0
		s.start += window
	}
	s.bytes += sent
	limit := uint64(c.UnlearntMegabytes) * megabyte
	if s.spans >= c.LearnWindows {
		limit = max(uint64(c.MinMegabytes)*megabyte, uint64(c.Factor*s.mean))
	}
	if s.bytes < limit {
		return
	}
	w.raise(sighting{
		subject: subject{kind: LargeUpload, source: f.Src},
		against: f.Dst, port: f.DstPort, protocol: f.Protocol, count: s.bytes, more: sent,
		numbers: [4]float64{float64(s.bytes), s.mean, float64(w.now-s.start) / float64(time.Second), float64(s.spans)},
	})
}

// maxSpans is how many windows a mean remembers: a week of hours.
const maxSpans = 168

// acquaintance is which networks one source has spoken to.
type acquaintance struct {
	since int64
	known [64]uint64
	set   int
}

// destination notes whom a source speaks to, and tells of a network that is new after
// the learning time.
func (w *Watch) destination(f *track.Flow) {
	c := &w.cfg.NewDestinations
	if !c.Enabled || f.In.Payload == 0 || toMany(f) || w.internal(f.Dst) || !w.internal(f.Src) {
		return
	}
	s, fresh := w.acquainted.Use(f.Src)
	if fresh {
		*s = acquaintance{since: w.now}
	}
	network := f.Dst
	if network.Is4() {
		network[15] = 0 // /24
	} else {
		network = packet.Addr{}
		copy(network[:6], f.Dst[:6]) // /48
	}
	h := hashAddr(network)
	word, bit := &s.known[h>>6&63], uint64(1)<<(h&63)
	if *word&bit != 0 {
		return
	}
	*word |= bit
	s.set++
	// A host that knows half the world is never surprised.
	if w.now-s.since < int64(c.LearnHours)*int64(time.Hour) || s.set > 64*64/2 {
		return
	}
	w.raise(sighting{
		subject: subject{kind: NewDestination, source: f.Src, target: f.Dst}, port: f.DstPort, protocol: f.Protocol, count: 1,
		numbers: [4]float64{float64(s.set), time.Duration(w.now - s.since).Hours()},
	})
}
