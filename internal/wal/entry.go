package wal

import "github.com/amoskys/amoskys/internal/stream"

// Entry is a record read from the log. It and its Payload are valid until the
// next call on the Reader that returned it.
type Entry struct {
	stream.Entry

	Kind Kind
}

// set fills e from the record b with header h; events below from were not asked
// for. The publisher's name is kept when it has not changed, which saves an
// allocation per record.
func (e *Entry) set(h *header, b []byte, from Offset) {
	publisher, payload := h.body(b)
	name := e.Publisher
	if name != string(publisher) {
		name = string(publisher)
	}
	e.Release()
	*e = Entry{Kind: h.kind, Entry: stream.Entry{
		First: h.first, Next: h.behind(), Count: int(h.count), Publisher: name, ProducerID: h.producer,
		Sequence: h.sequence, Received: h.receivedTime(), Codec: h.codec, Payload: payload, From: from,
	}}
}
