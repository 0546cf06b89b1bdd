package ring

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// Query says which packets are wanted. All that is set must hold.
type Query struct {
	// CommunityID is of one flow, with the ring's seed; empty is any.
	CommunityID string
	// Address and Peer are of either side each; the zero address is any. Port and
	// PeerPort are theirs; 0 is any.
	Address, Peer  packet.Addr
	Port, PeerPort uint16
	Protocol       uint8 // 0 is any
	// Since and Until bound the time, in Unix nanoseconds; 0 does not.
	Since, Until int64
	// MaxBytes is how large the file may become.
	MaxBytes int64
}

// Saved is what was saved, and what there was to search.
type Saved struct {
	Packets, Bytes uint64 // Bytes is the size of the file
	First, Last    int64  // times of the packets, in Unix nanoseconds
	// Cut says that there would have been more than MaxBytes. Short counts packets of
	// which the ring has the beginning only.
	Cut   bool
	Short uint64
	// OtherLink counts packets that a file of the first one's link type does not hold.
	OtherLink uint64
	// Gone counts segments that were overwritten during the search, Damaged those that
	// could not be read to their end.
	Gone, Damaged int
	// Oldest and Newest are what the ring reaches from and to; 0 when it is empty.
	Oldest, Newest int64
}

// Save writes the packets that are wanted as a pcap file, in the order in which they
// were kept. What was captured within the last tenth of a second may not be there yet.
// Without any packet nothing is written. progress is told bytes searched, of how many;
// it may be nil.
func (r *Ring) Save(ctx context.Context, q Query, w io.Writer, progress func(done, total uint64)) (Saved, error) {
	s := search{r: r, q: q, w: w}
	all := r.views(&s.saved)
	var todo []view
	var total, done uint64
	wanted := maphash.String(r.hash, q.CommunityID)
	for _, v := range all {
		if v.mayHave(q, wanted) {
			todo = append(todo, v)
			total += uint64(v.bytes)
		}
	}
	for _, v := range todo {
		if err := s.read(ctx, v); err != nil {
			return s.saved, err
		}
		if done += uint64(v.bytes); progress != nil {
			progress(done, total)
		}
		if s.saved.Cut {
			break
		}
	}
	if s.out == nil {
		return s.saved, nil
	}
	s.saved.Bytes = uint64(s.out.Bytes())
	return s.saved, s.out.Flush()
}

// view is a segment as it was when a search began.
type view struct {
	segment
	of *segment
}

// views are all segments, oldest first.
func (r *Ring) views(saved *Saved) []view {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]view, len(r.segments))
	for i, g := range r.segments {
		all[i] = view{*g, g}
		if g.first != 0 && (saved.Oldest == 0 || g.first < saved.Oldest) {
			saved.Oldest = g.first
		}
		saved.Newest = max(saved.Newest, g.first, g.last)
	}
	return all
}

// mayHave reports whether a segment has to be read.
func (v *view) mayHave(q Query, flow uint64) bool {
	switch {
	case !v.known:
		return true
	case q.Since != 0 && v.last < q.Since, q.Until != 0 && v.first > q.Until:
		return false
	}
	return q.CommunityID == "" || v.whole || slices.Contains(v.flows, flow)
}

// search is one Save under way.
type search struct {
	r       *Ring
	q       Query
	w       io.Writer
	out     *capture.Writer
	link    packet.Link
	saved   Saved
	decoder packet.Decoder
	// flow is that of CommunityID, once a packet of it was found; others are flows that
	// are known not to be it.
	flow   entity.FlowID
	found  bool
	others map[entity.FlowID]struct{}
}

// maxOthers bounds the flows that a search remembers.
const maxOthers = 65_536

// lookEach is how many frames are read between two looks at the context.
const lookEach = 4096

// read searches one segment.
func (s *search) read(ctx context.Context, v view) error {
	file, err := os.Open(v.path)
	if errors.Is(err, os.ErrNotExist) {
		s.saved.Gone++
		return nil
	}
	if err != nil {
		return fmt.Errorf("read packets: %w", err)
	}
	defer func() { _ = file.Close() }() // only read
	frames, err := capture.NewFile(io.LimitReader(file, v.bytes))
	if err != nil {
		s.saved.Damaged++
		return nil //nolint:nilerr // counted
	}
	defer func() { _ = frames.Close() }() // it has opened nothing
	learn := newLearner(s.r, v)
	var frame packet.Frame
	var p packet.Packet
	for i := 1; ; i++ {
		switch err := frames.Next(&frame); {
		case errors.Is(err, io.EOF):
			learn.done()
			return nil
		case err != nil:
			s.saved.Damaged++
			learn.done()
			return nil //nolint:nilerr // counted
		}
		if i%lookEach == 1 && ctx.Err() != nil {
			return fmt.Errorf("read packets: %w", ctx.Err())
		}
		_ = s.decoder.Decode(&frame, &p) // what was read of a bad frame counts
		if p.Version == 0 {
			continue
		}
		id := track.IDOf(&p, s.r.o.Seed)
		learn.take(frame.Time, id)
		if !s.wants(&p, id) {
			continue
		}
		if err := s.save(&frame); err != nil || s.saved.Cut {
			return err
		}
	}
}

// wants reports whether a packet of this flow is wanted.
func (s *search) wants(p *packet.Packet, id entity.FlowID) bool {
	q := &s.q
	if q.Since != 0 && p.Time < q.Since || q.Until != 0 && p.Time > q.Until || q.Protocol != 0 && p.Protocol != q.Protocol {
		return false
	}
	if !q.ends(p.Src, p.SrcPort, p.Dst, p.DstPort) && !q.ends(p.Dst, p.DstPort, p.Src, p.SrcPort) {
		return false
	}
	if q.CommunityID == "" || s.found {
		return q.CommunityID == "" || id == s.flow
	}
	if _, known := s.others[id]; known {
		return false
	}
	if id.CommunityID() == q.CommunityID {
		s.flow, s.found, s.others = id, true, nil
		return true
	}
	if s.others == nil || len(s.others) >= maxOthers {
		s.others = map[entity.FlowID]struct{}{}
	}
	s.others[id] = struct{}{}
	return false
}

// ends reports whether one end is as wanted of the first, and the other of its peer.
func (q *Query) ends(a packet.Addr, port uint16, b packet.Addr, peer uint16) bool {
	none := packet.Addr{}
	return (q.Address == none || q.Address == a) && (q.Peer == none || q.Peer == b) &&
		(q.Port == 0 || q.Port == port) && (q.PeerPort == 0 || q.PeerPort == peer)
}

// save writes a frame.
func (s *search) save(f *packet.Frame) (err error) {
	if s.out == nil {
		if s.out, err = capture.NewWriter(s.w, f.Link, 0); err != nil {
			return err
		}
		s.link = f.Link
	}
	if f.Link != s.link {
		s.saved.OtherLink++
		return nil
	}
	if s.q.MaxBytes > 0 && s.out.Bytes()+recordHead+int64(len(f.Data)) > s.q.MaxBytes {
		s.saved.Cut = true
		return nil
	}
	if err := s.out.Write(f); err != nil {
		return err
	}
	if s.saved.Packets == 0 || f.Time < s.saved.First {
		s.saved.First = f.Time
	}
	s.saved.Last = max(s.saved.Last, f.Time)
	s.saved.Packets++
	if uint32(len(f.Data)) < f.Wire {
		s.saved.Short++
	}
	return nil
}

// learner learns the flows of a segment that an earlier process wrote, while that is
// searched to its end.
type learner struct {
	r      *Ring
	of     *segment // nil learns nothing
	result segment
	seen   map[entity.FlowID]struct{}
}

func newLearner(r *Ring, v view) *learner {
	if v.known {
		return &learner{}
	}
	return &learner{r: r, of: v.of, seen: map[entity.FlowID]struct{}{}}
}

func (l *learner) take(at int64, id entity.FlowID) {
	if l.of == nil {
		return
	}
	l.result.cover(at)
	if _, known := l.seen[id]; known || l.result.whole {
		return
	}
	if len(l.seen) >= maxFlows {
		l.result.whole, l.result.flows = true, nil
		return
	}
	l.seen[id] = struct{}{}
	l.result.flows = append(l.result.flows, maphash.String(l.r.hash, id.CommunityID()))
}

// done keeps what was learnt.
func (l *learner) done() {
	if l.of == nil {
		return
	}
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	l.of.first, l.of.last, l.of.flows, l.of.whole, l.of.known = l.result.first, l.result.last, l.result.flows, l.result.whole, true
}

// String says for people what was saved, and what the ring no longer has.
func (s *Saved) String() string { return s.Tell(0) }

// Tell does the same for who asked for packets from since on, in Unix nanoseconds; 0 is
// any time.
func (s *Saved) Tell(since int64) string {
	if s.Packets == 0 {
		return s.nothing(since)
	}
	text := fmt.Sprintf("%d packets from %s to %s", s.Packets, clock(s.First), clock(s.Last))
	if s.Packets == 1 {
		text = "1 packet, of " + clock(s.First)
	}
	if s.Cut {
		text += "; there are more than one file may hold: ask for a shorter time"
	}
	if s.Short > 0 {
		text += fmt.Sprintf("; of %d the ring has the beginning only (packets.snap_length)", s.Short)
	}
	if s.OtherLink > 0 {
		text += fmt.Sprintf("; %d of another link type are left out", s.OtherLink)
	}
	return text + s.lacks(since)
}

// lacks says what is missing.
func (s *Saved) lacks(since int64) string {
	text := ""
	if s.Gone > 0 {
		text += "; the oldest were overwritten meanwhile"
	}
	if s.Damaged > 0 {
		text += fmt.Sprintf("; %d files of the ring are damaged, and what lies behind the damage is missing", s.Damaged)
	}
	if s.Oldest != 0 && (since == 0 || since < s.Oldest) {
		text += "; the ring reaches back to " + clock(s.Oldest) + ", and what came before is gone"
	}
	return text
}

func (s *Saved) nothing(since int64) string {
	if s.Oldest == 0 {
		return "the ring is empty: it has kept no packet yet"
	}
	return "the ring has no packet of it" + s.lacks(since)
}

func clock(at int64) string { return time.Unix(0, at).UTC().Format("2006-01-02 15:04:05Z") }
