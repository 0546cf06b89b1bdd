package reader

import (
	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/stream"
)

// maxBatchBytes bounds the events of one batch; one larger event, or block, makes a
// batch alone.
const maxBatchBytes = 256 << 10

// defaultMaxEvents is Options.MaxEvents where it is not set.
const defaultMaxEvents = 512

// keepBytes is the size above which a buffer is not kept for the next batch.
const keepBytes = 4 * maxBatchBytes

// assembler makes batches of entries and events, whichever a source has:
//
//	the source has     the consumer wants  the batch has
//	events             events              them
//	an entry           events              its events, those that match; a gap for what it should hold
//	                                       and does not give back; the rest in the next batch when
//	                                       the batch is full
//	an entry           blocks              the entry
//	events, or an      blocks              blocks without a codec, one for each run of consecutive
//	  entry and a                          events that came together
//	  filter
type assembler struct {
	most   int
	blocks bool            // that is what the consumer wants
	lists  *event.Selector // nil lets everything through
	match  Match           // nil as well
	// copies says that an entry's bytes change before the batch is done with.
	copies bool

	next stream.Offset // everything before it has been looked at
	gap  *stream.Gap   // comes next, in a batch of its own

	batch  Batch
	events []Event
	whole  []stream.Entry
	bytes  []byte // what was copied
	// wrapped is where in bytes the last of whole begins, if it is of events; else -1.
	wrapped int
	count   int // events in the batch
	size    int // their bytes
}

func newAssembler(r *Request, lists *event.Selector, from stream.Offset) assembler {
	a := assembler{most: r.MaxEvents, blocks: r.Blocks, lists: lists, match: r.Match, next: from}
	if a.most <= 0 {
		a.most = defaultMaxEvents
	}
	return a
}

// begin starts a new batch, for which the bytes of the last one may be used.
func (a *assembler) begin() {
	for i := range a.whole {
		a.whole[i].Release()
	}
	if cap(a.bytes) > keepBytes {
		a.bytes = nil
	}
	clear(a.events)
	clear(a.whole)
	a.events, a.whole, a.bytes = a.events[:0], a.whole[:0], a.bytes[:0]
	a.wrapped, a.count, a.size = -1, 0, 0
}

func (a *assembler) full() bool { return a.count >= a.most || a.size >= maxBatchBytes }

func (a *assembler) empty() bool { return a.count == 0 }

// addEntry takes what fits of an entry and is not in a batch yet. It reports whether
// that was all. A gap may come behind it.
func (a *assembler) addEntry(e *stream.Entry) bool {
	e.From = max(e.From, min(a.next, e.Next))
	if a.blocks && a.lists == nil && a.match == nil {
		a.addWhole(e)
		return true
	}
	for off, encoded := range e.Events() {
		if off < a.next {
			continue
		}
		if a.full() {
			return false
		}
		a.next = off + 1
		if a.lists.Match(encoded) && a.matches(off, encoded, e) {
			if a.copies && !a.blocks {
				encoded = a.hold(encoded)
			}
			a.addEvent(&Event{Offset: off, Logged: e.Received, Publisher: e.Publisher, Encoded: encoded})
		}
	}
	if a.gap = e.Missing(a.next); a.gap == nil {
		a.next = max(a.next, e.Next)
	}
	return true
}

func (a *assembler) matches(off stream.Offset, encoded []byte, e *stream.Entry) bool {
	return a.match == nil || a.match.Match(encoded, e.Publisher, off, e.Received)
}

// addEvent takes an event that matches.
func (a *assembler) addEvent(e *Event) {
	a.next = e.Offset + 1
	a.count++
	a.size += len(e.Encoded)
	if a.blocks {
		a.wrap(e)
	} else {
		a.events = append(a.events, *e)
	}
}

// addWhole takes an entry as a block.
func (a *assembler) addWhole(e *stream.Entry) {
	block := stream.Entry{
		First: e.First, Next: e.Next, Count: e.Count, Publisher: e.Publisher, ProducerID: e.ProducerID, Sequence: e.Sequence,
		Received: e.Received, Codec: e.Codec, Payload: e.Payload, From: e.From,
	}
	if a.copies {
		block.Payload = a.hold(e.Payload)
	}
	a.whole, a.wrapped = append(a.whole, block), -1
	a.count += int(e.First + stream.Offset(e.Count) - max(e.First, e.From))
	a.size += len(e.Payload)
	a.next = max(a.next, e.Next)
}

// hold copies bytes until the next batch.
func (a *assembler) hold(b []byte) []byte {
	at := len(a.bytes)
	a.bytes = append(a.bytes, b...)
	return a.bytes[at:len(a.bytes):len(a.bytes)]
}

// wrap puts an event into a block, the last one where it belongs there.
func (a *assembler) wrap(e *Event) {
	if a.wrapped < 0 || !belongs(&a.whole[len(a.whole)-1], e) {
		a.whole = append(a.whole, stream.Entry{First: e.Offset, Publisher: e.Publisher, Received: e.Logged})
		a.wrapped = len(a.bytes)
	}
	a.bytes = codec.AppendEvent(a.bytes, e.Encoded)
	last := &a.whole[len(a.whole)-1]
	last.Count++
	last.Next = e.Offset + 1
	last.Payload = a.bytes[a.wrapped:len(a.bytes):len(a.bytes)]
}

// done is the batch as it is.
func (a *assembler) done(tail stream.Offset) *Batch {
	a.batch = Batch{Events: a.events, Blocks: a.whole, Next: a.next, Tail: tail}
	return &a.batch
}

// pass is a batch of the gap that comes next.
func (a *assembler) pass(tail stream.Offset) *Batch {
	gap := a.gap
	a.gap, a.next = nil, max(a.next, gap.To)
	a.batch = Batch{Gap: gap, Next: a.next, Tail: tail}
	return &a.batch
}

// belongs reports whether an event may stand behind those of a block.
func belongs(block *stream.Entry, e *Event) bool {
	return block.Next == e.Offset && block.Publisher == e.Publisher && block.Received.Equal(e.Logged) && block.Count < stream.MaxEvents
}
