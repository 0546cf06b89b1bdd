package hub

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
)

// The encoders below write what proto.Marshal would, without building messages:
// acks and deliveries are what the hub sends most. Tests hold them against the
// generated code.

// appendAck encodes a PublishAck with STATUS_OK that refuses nothing.
func appendAck(b []byte, sequence uint64, first stream.Offset, accepted int, duplicate bool) []byte {
	b = appendUint(b, 1, sequence)
	b = appendUint(b, 2, uint64(pb.PublishAck_STATUS_OK))
	b = appendUint(b, 3, first)
	b = appendUint(b, 4, uint64(accepted))
	if duplicate {
		b = appendUint(b, 8, 1)
	}
	return b
}

// appendStored encodes one StoredEvent as field 1 of a Delivery. logged is its
// logged_time, encoded by appendTime.
func appendStored(b []byte, offset stream.Offset, logged []byte, publisher string, event []byte) []byte {
	size := sizeUint(1, offset) +
		1 + protowire.SizeBytes(len(logged)) +
		1 + protowire.SizeBytes(len(publisher)) +
		1 + protowire.SizeBytes(len(event))
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b = appendUint(b, 1, offset)
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendBytes(b, logged)
	b = protowire.AppendTag(b, 3, protowire.BytesType)
	b = protowire.AppendString(b, publisher)
	b = protowire.AppendTag(b, 4, protowire.BytesType)
	return protowire.AppendBytes(b, event)
}

// appendTime encodes a google.protobuf.Timestamp.
func appendTime(b []byte, t time.Time) []byte {
	b = appendUint(b, 1, uint64(t.Unix()))
	return appendUint(b, 2, uint64(t.Nanosecond()))
}

// appendProgress encodes next_offset and tail_offset of a Delivery.
func appendProgress(b []byte, next, tail stream.Offset) []byte {
	return appendUint(appendUint(b, 2, next), 4, tail)
}

// appendUint leaves zero out, as proto3 does.
func appendUint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func sizeUint(field protowire.Number, v uint64) int {
	if v == 0 {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeVarint(v)
}

// idOf reads the id of an encoded event that the log holds.
func idOf(b []byte) (id [16]byte, ok bool) {
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return id, false
		}
		b = b[n:]
		if number == 1 && wire == protowire.BytesType {
			v, n := protowire.ConsumeBytes(b)
			if n < 0 || len(v) != len(id) {
				return id, false
			}
			return [16]byte(v), true
		}
		if n = protowire.ConsumeFieldValue(number, wire, b); n < 0 {
			return id, false
		}
		b = b[n:]
	}
	return id, false
}
