package live

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// gram is a Bloom filter of the three-byte sequences in the text of one event,
// its summary and all its values in lower case. A word that is in the event has
// all its sequences here, so an event that lacks one need not be decoded.
type gram [gramBits / 64]uint64

const (
	gramBits  = 1 << 10
	gramBytes = gramBits / 8
)

func gramBit(a, b, c byte) uint32 {
	const golden = 0x9E3779B1 // 2^32 over the golden ratio: spreads well over the top bits
	return (uint32(a) | uint32(b)<<8 | uint32(c)<<16) * golden >> (32 - 10)
}

// addText puts text, already in lower case, into the filter.
func (g *gram) addText(s []byte) {
	for i := 2; i < len(s); i++ {
		bit := gramBit(s[i-2], s[i-1], s[i])
		g[bit/64] |= 1 << (bit % 64)
	}
}

// literal is a text that an event must hold to match.
type literal []uint32

// newLiteral returns the bits of a text, or false when it is too short or not
// plain enough to be looked for so.
func newLiteral(s string) (literal, bool) {
	s = strings.ToLower(s)
	if len(s) < 3 {
		return nil, false
	}
	var bits literal
	for i := range len(s) {
		if s[i] >= 0x80 {
			return nil, false
		}
		if i >= 2 && len(bits) < 64 {
			bits = append(bits, gramBit(s[i-2], s[i-1], s[i]))
		}
	}
	return bits, true
}

func (g *gram) mayHold(l literal) bool {
	for _, bit := range l {
		if g[bit/64]&(1<<(bit%64)) == 0 {
			return false
		}
	}
	return true
}

// buildGrams makes the filters of a full block, once.
func (b *block) buildGrams() []gram {
	b.build.Lock()
	defer b.build.Unlock()
	if done := b.grams.Load(); done != nil {
		return *done
	}
	grams := make([]gram, len(b.entries))
	ev := &pb.Event{}
	var text []byte
	for i := range b.entries {
		e := &b.entries[i]
		if proto.Unmarshal(b.data[e.pos:e.pos+e.size], ev) != nil {
			// Inspect has promised that this does not happen; if it does, let every
			// search look at the event.
			for j := range grams[i] {
				grams[i][j] = ^uint64(0)
			}
			continue
		}
		event.Attribute(ev, b.names[e.publisher])
		text = appendText(text[:0], ev)
		grams[i].addText(text)
	}
	b.grams.Store(&grams)
	return grams
}

// appendText appends an event's summary and values in lower case, with a byte
// between them that is in no query.
func appendText(text []byte, ev *pb.Event) []byte {
	text = append(text, event.Summary(ev)...)
	for _, v := range event.Fields(ev) {
		if list, ok := v.([]any); ok {
			for _, one := range list {
				text = appendValue(append(text, 0), one)
			}
			continue
		}
		text = appendValue(append(text, 0), v)
	}
	for _, c := range text {
		if c >= 0x80 {
			return bytes.ToLower(text)
		}
	}
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			text[i] = c + 'a' - 'A'
		}
	}
	return text
}

// appendValue writes a value as package filter reads it.
func appendValue(text []byte, v any) []byte {
	switch x := v.(type) {
	case string:
		return append(text, x...)
	case bool:
		return strconv.AppendBool(text, x)
	case float64:
		return strconv.AppendFloat(text, x, 'f', -1, 64)
	case int64:
		return strconv.AppendInt(text, x, 10)
	case uint64:
		return strconv.AppendUint(text, x, 10)
	case time.Time:
		return x.AppendFormat(text, time.RFC3339Nano)
	}
	return text
}
