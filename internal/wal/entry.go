package wal

import (
	"encoding/binary"
	"iter"
	"time"
)

// Entry is a record read from the log. It and its Payload are valid until the
// next call on the Reader that returned it.
type Entry struct {
	Kind       Kind
	First      Offset // offset of the first event in Payload
	Count      int    // events in Payload
	Publisher  string
	ProducerID [16]byte
	Sequence   uint64
	Received   time.Time
	Payload    []byte

	from Offset // events below it were not asked for
}

// set fills e from the record b with header h. The publisher's name is kept
// when it has not changed, which saves an allocation per record.
func (e *Entry) set(h *header, b []byte, from Offset) {
	publisher, payload := h.body(b)
	name := e.Publisher
	if name != string(publisher) {
		name = string(publisher)
	}
	*e = Entry{
		Kind: h.kind, First: h.first, Count: int(h.count), Publisher: name, ProducerID: h.producer,
		Sequence: h.sequence, Received: h.receivedTime(), Payload: payload, from: from,
	}
}

// Events iterates over the encoded events with their offsets. When a reader
// was opened at an offset in the middle of a record, the record's earlier
// events are left out. Other fields of the payload are skipped, and so is what
// exceeds Count; a payload that is no protobuf message ends the iteration
// early.
func (e *Entry) Events() iter.Seq2[Offset, []byte] {
	return func(yield func(Offset, []byte) bool) {
		at := e.First
		for p := e.Payload; len(p) > 0 && at < e.First+Offset(e.Count); {
			field, value, rest, ok := nextField(p)
			if !ok {
				return
			}
			p = rest
			if field != eventsField {
				continue
			}
			if at >= e.from && !yield(at, value) {
				return
			}
			at++
		}
	}
}

// eventsField is the number of the payload's repeated field of events.
const eventsField = 3

// nextField reads one protobuf field from p; value is nil unless the field is
// length-delimited.
func nextField(p []byte) (field uint64, value, rest []byte, ok bool) {
	tag, n := binary.Uvarint(p)
	if n <= 0 {
		return 0, nil, nil, false
	}
	p = p[n:]
	var skip uint64
	switch tag & 7 {
	case 0:
		_, n := binary.Uvarint(p)
		if n <= 0 {
			return 0, nil, nil, false
		}
		skip = uint64(n)
	case 1:
		skip = 8
	case 2:
		size, n := binary.Uvarint(p)
		if n <= 0 || size > uint64(len(p)-n) {
			return 0, nil, nil, false
		}
		value = p[n : n+int(size) : n+int(size)]
		skip = uint64(n) + size
	case 5:
		skip = 4
	default:
		return 0, nil, nil, false
	}
	if skip > uint64(len(p)) {
		return 0, nil, nil, false
	}
	return tag >> 3, value, p[skip:], true
}
