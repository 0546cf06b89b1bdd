package codec

import "encoding/binary"

// EventsTag begins each event of a run: the field events of PublishRequest, number 3 with
// a length. That length and the encoded event follow.
const EventsTag = 3<<3 | 2

// AppendHead adds to a run what stands before an event of n bytes.
func AppendHead(dst []byte, n int) []byte {
	return binary.AppendUvarint(append(dst, EventsTag), uint64(n))
}

// AppendEvent adds an encoded event to a run.
func AppendEvent(dst, event []byte) []byte {
	return append(AppendHead(dst, len(event)), event...)
}
