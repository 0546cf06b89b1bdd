package event

import (
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Readings come often, and most of them differ from the one before in numbers alone.
// The numbers go to the metrics; of the events themselves the store keeps the first of
// each slot of time of each thing that is read. Its agent marks the others:
// Event.metrics_only.

// numbers of fields of the Event that ThinnedReading looks at.
const (
	numberID          = 1
	numberTime        = 2
	numberType        = 3
	numberSeverity    = 4
	numberMetricsOnly = 12
	numberFirstBody   = 20
	numberLastBody    = 30
	wordMetrics       = "metric." // the types of metric batches begin so
)

// readingBody is the number of the body that a reading of this type has; 0 where it is
// the type of no readings. An act is of none of them, so nobody hides one by a mark.
func readingBody(typ string) protowire.Number {
	switch {
	case typ == TypeProcessSample:
		return 20
	case typ == TypeSNMPReading:
		return 25
	case typ == TypeAgentHealth:
		return 28
	case typ == TypeHubHealth:
		return 29
	case strings.HasPrefix(typ, wordMetrics):
		return 26
	}
	return 0
}

// IsReading reports whether events of the type are readings, of which the store may keep
// some alone.
func IsReading(typ string) bool { return readingBody(typ) != 0 }

// ReadingTypes lists the types of readings; one that ends in a dot stands for all that
// begin so.
func ReadingTypes() []string {
	return []string{TypeProcessSample, TypeSNMPReading, TypeAgentHealth, TypeHubHealth, wordMetrics}
}

// Thinned is what is to be known of a reading that is left out.
type Thinned struct {
	ID ID
	// UnixNano is its time in nanoseconds since 1970.
	UnixNano int64
}

// ThinnedReading reports whether the store leaves an event out that Inspect accepts: it
// is marked so, its type and its body are those of one reading, and nothing in it calls
// for attention. It depends on the event alone, so that a store that is made again leaves
// out the same ones. It allocates nothing.
func ThinnedReading(encoded []byte) (t Thinned, ok bool) {
	var typ, at []byte
	var body protowire.Number
	var marked, severe bool
	for b := encoded; len(b) > 0; {
		num, wire, n := consumeTag(b)
		if n < 0 {
			return t, false
		}
		b = b[n:]
		v, n := consumeValue(num, wire, b)
		if n < 0 {
			return t, false
		}
		b = b[n:]
		// As in the decoder, the last of a field wins, and one of another wire type counts
		// for nothing.
		switch {
		case wire == protowire.VarintType && num == numberMetricsOnly:
			x, _ := protowire.ConsumeVarint(v)
			marked = x != 0
		case wire == protowire.VarintType && num == numberSeverity:
			x, _ := protowire.ConsumeVarint(v)
			severe = pb.Severity(x) > pb.Severity_SEVERITY_INFORMATIONAL
		case wire != protowire.BytesType:
		case num == numberID:
			t.ID = ID{}
			copy(t.ID[:], v)
		case num == numberTime:
			at = v
		case num == numberType:
			typ = v
		case num >= numberFirstBody && num <= numberLastBody:
			body = num
		}
	}
	if !marked || severe || body == 0 || body != readingBody(string(typ)) {
		return Thinned{}, false
	}
	var seconds, nanos int64
	takeTime(at, &seconds, &nanos)
	t.UnixNano = unixNano(seconds, nanos)
	return t, true
}

// Slots says which readings of a thing are kept: the first of each slot of this length.
// Those of 0 keep all.
type Slots time.Duration

// Slot is what an agent keeps of a thing that it reads: in which slot the last reading
// of it was that was kept. The zero Slot has seen none.
type Slot struct {
	at   int64
	kept bool
}

// Keep reports whether the reading of a thing at a time is kept; of those that are not,
// the agent sets Event.metrics_only. The slots of each thing begin at times of its own,
// by its name, so that a host's things are not all kept at once.
func (s Slots) Keep(last *Slot, name string, at time.Time) bool {
	if s <= 0 {
		return true
	}
	slot := (at.UnixNano() + int64(hashName(name)%uint64(s))) / int64(s)
	if last.kept && last.at == slot {
		return false
	}
	*last = Slot{at: slot, kept: true}
	return true
}

// hashName is FNV-1a of 64 bits (draft-eastlake-fnv).
func hashName(name string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001b3
	}
	return h
}
