package wal

import (
	"fmt"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/stream"
)

// unpackedSize returns how long a packed payload says to be, when that can be.
func unpackedSize(c codec.Codec, count uint32, payload []byte) (int, error) {
	n, err := c.Size(payload)
	switch {
	case err != nil:
		return 0, err
	case n > stream.MaxUnpackedBytes:
		return 0, fmt.Errorf("%w: %d bytes, at most %d are allowed", codec.ErrTooLarge, n, stream.MaxUnpackedBytes)
	case n < int(count):
		return 0, fmt.Errorf("%w: %d events in %d bytes", codec.ErrCorrupt, count, n)
	}
	return n, nil
}

// eventsWrong says what is wrong with the events of a sound record, which only a program
// that was broken has stored, "" for nothing. Without unpack it is what shows without
// unpacking them. e is filled and used again by the next call.
func (r *scanned) eventsWrong(e *stream.Entry, unpack bool) string {
	h := &r.header
	_, payload := h.body(r.bytes)
	switch {
	case h.kind != KindEvents:
		return ""
	case !unpack && h.codec == codec.None:
		return ""
	case !unpack:
		if _, err := unpackedSize(h.codec, h.count, payload); err != nil {
			return "events cannot be unpacked: " + err.Error()
		}
		return ""
	}
	fill(e, r)
	defer e.Release()
	if _, err := e.Fields(); err != nil {
		return "events cannot be unpacked: " + err.Error()
	}
	n := 0
	for range e.Events() {
		n++
	}
	if n != e.Count {
		return fmt.Sprintf("record holds %d events and says %d", n, e.Count)
	}
	return ""
}

// fill fills e as far as its events need it.
func fill(e *stream.Entry, rec *scanned) (publisher []byte) {
	e.Release()
	publisher, payload := rec.header.body(rec.bytes)
	*e = stream.Entry{First: rec.header.first, Count: int(rec.header.count), Codec: rec.header.codec, Payload: payload}
	return publisher
}
