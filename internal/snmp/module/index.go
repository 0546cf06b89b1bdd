package module

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// maxArcs bounds an index; RFC 2578, section 3.5, allows 128 arcs in an OID.
const maxArcs = 128

// ErrIndex is an index that does not have the shape its table says. Weak agents have
// such rows; they are left out and counted.
var ErrIndex = errors.New("index has another shape than its table")

// Arcs reads dotted numbers, each from 0 to 2^32-1. An empty text has none.
func Arcs(dotted string) ([]uint32, error) {
	if dotted == "" {
		return nil, nil
	}
	arcs := make([]uint32, 0, strings.Count(dotted, ".")+1)
	for part := range strings.SplitSeq(dotted, ".") {
		arc, err := strconv.ParseUint(part, 10, 32)
		if err != nil || len(arcs) == maxArcs {
			return nil, fmt.Errorf("%w: %.40q", ErrIndex, dotted)
		}
		arcs = append(arcs, uint32(arc))
	}
	return arcs, nil
}

// DecodeIndex reads the parts of an index from the arcs behind a column's OID. Arcs
// that are left over, or lack, are ErrIndex.
func DecodeIndex(parts []IndexPart, dotted string) ([]string, error) {
	arcs, err := Arcs(dotted)
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(parts))
	for _, part := range parts {
		text, rest, ok := part.take(arcs)
		if !ok {
			return nil, fmt.Errorf("%w: %.80q at %s", ErrIndex, dotted, part.Name)
		}
		out, arcs = append(out, text), rest
	}
	if len(arcs) > 0 {
		return nil, fmt.Errorf("%w: %.80q has %d arcs too many", ErrIndex, dotted, len(arcs))
	}
	return out, nil
}

// take reads one part from the front of arcs.
func (p IndexPart) take(arcs []uint32) (text string, rest []uint32, ok bool) {
	switch p.Type {
	case IndexInteger:
		if len(arcs) == 0 {
			return "", nil, false
		}
		return strconv.FormatUint(uint64(arcs[0]), 10), arcs[1:], true
	case IndexAddress:
		return takeFixed(arcs, 4, addressText)
	case IndexMAC:
		return takeFixed(arcs, 6, func(b []byte) string { return net.HardwareAddr(b).String() })
	case IndexInet:
		if len(arcs) == 0 {
			return "", nil, false
		}
		return takeCounted(arcs[1:], addressText)
	case IndexText:
		return p.takeOctets(arcs, func(b []byte) string { return plain(b) })
	case IndexOctets:
		return p.takeOctets(arcs, hex.EncodeToString)
	case IndexObject:
		return p.takeObject(arcs)
	default:
		return "", nil, false
	}
}

func (p IndexPart) takeOctets(arcs []uint32, read func([]byte) string) (string, []uint32, bool) {
	switch {
	case p.Rest:
		return takeFixed(arcs, len(arcs), read)
	case p.Length > 0:
		return takeFixed(arcs, p.Length, read)
	default:
		return takeCounted(arcs, read)
	}
}

func (p IndexPart) takeObject(arcs []uint32) (string, []uint32, bool) {
	if !p.Rest {
		if len(arcs) == 0 || uint64(arcs[0]) > uint64(len(arcs)-1) {
			return "", nil, false
		}
		return dotted(arcs[1 : 1+arcs[0]]), arcs[1+arcs[0]:], true
	}
	return dotted(arcs), nil, true
}

// takeCounted reads octets behind their number.
func takeCounted(arcs []uint32, read func([]byte) string) (string, []uint32, bool) {
	if len(arcs) == 0 || uint64(arcs[0]) > uint64(len(arcs)-1) {
		return "", nil, false
	}
	return takeFixed(arcs[1:], int(arcs[0]), read)
}

func takeFixed(arcs []uint32, n int, read func([]byte) string) (string, []uint32, bool) {
	if len(arcs) < n {
		return "", nil, false
	}
	octets := make([]byte, n)
	for i, arc := range arcs[:n] {
		if arc > 255 {
			return "", nil, false
		}
		octets[i] = byte(arc)
	}
	return read(octets), arcs[n:], true
}

// addressText reads 4 or 16 octets, with a zone of 4 behind (RFC 4001) left out.
func addressText(b []byte) string {
	switch len(b) {
	case 4, 16:
	case 8, 20:
		b = b[:len(b)-4]
	default:
		return hex.EncodeToString(b)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr.Unmap().String()
}

func dotted(arcs []uint32) string {
	var b strings.Builder
	for i, arc := range arcs {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(strconv.FormatUint(uint64(arc), 10))
	}
	return b.String()
}
