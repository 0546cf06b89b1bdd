package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// Magic numbers of pcap files (draft-ietf-opsawg-pcap, section 4, and libpcap's
// sf-pcap.c for the modified format of A. Kuznetzov), and lengths of headers in bytes.
const (
	pcapMicro    = 0xa1b2c3d4
	pcapNano     = 0xa1b23c4d
	pcapModified = 0xa1b2cd34

	pcapFileHeader     = 24
	pcapRecord         = 16
	pcapModifiedRecord = 24
)

// pcap reads the classic format.
type pcap struct {
	big    bool
	unit   int64 // nanoseconds of one unit of a time's fraction
	header int   // length of a record's header
	link   packet.Link
}

func newPcap(w *window) (*pcap, error) {
	head, err := w.peek(4)
	if err != nil {
		return nil, err
	}
	p := &pcap{unit: 1000, header: pcapRecord}
	magic := binary.LittleEndian.Uint32(head)
	if isBig := bits.ReverseBytes32(magic); isBig == pcapMicro || isBig == pcapNano || isBig == pcapModified {
		p.big, magic = true, isBig
	}
	switch magic {
	case pcapMicro:
	case pcapNano:
		p.unit = 1
	case pcapModified:
		p.header = pcapModifiedRecord
	default:
		return nil, ErrNotCapture
	}
	if head, err = w.peek(pcapFileHeader); err != nil {
		return nil, damaged(w, 0, "the file's header", err)
	}
	major, minor := order16(head[4:], p.big), order16(head[6:], p.big)
	if major != 2 {
		return nil, fmt.Errorf("pcap version %d.%d is not read, only 2.x", major, minor)
	}
	// The upper 16 bits say whether frames end with a check sequence; headers tell
	// the lengths anyway.
	p.link = linkOf(uint16(order32(head[20:], p.big)))
	w.advance(pcapFileHeader)
	return p, nil
}

func (p *pcap) next(w *window, f *packet.Frame) error {
	head, err := w.peek(p.header)
	if err != nil {
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		return damaged(w, 0, "a frame's header", err)
	}
	h := (*[pcapRecord]byte)(head)
	kept := order32(h[8:12], p.big)
	if kept > MaxSnap {
		return &DamageError{Offset: w.offset(), Reason: fmt.Sprintf("a frame of %d bytes, more than %d", kept, MaxSnap)}
	}
	all, err := w.peek(p.header + int(kept))
	if err != nil {
		return damaged(w, 0, "a frame", err)
	}
	w.advance(len(all))
	p.fill(f, (*[pcapRecord]byte)(all), all[p.header:])
	return nil
}

// fill makes a frame of a record.
func (p *pcap) fill(f *packet.Frame, h *[pcapRecord]byte, data []byte) {
	seconds, fraction := order32(h[0:4], p.big), order32(h[4:8], p.big)
	f.Time = int64(seconds)*1e9 + int64(fraction)*p.unit
	f.Data, f.Wire, f.Link = data, max(order32(h[12:16], p.big), uint32(len(data))), p.link
	f.Interface, f.GSOSize = 0, 0
}

// held implements format. What is damaged is left to next.
func (p *pcap) held(w *window, frames []packet.Frame) int {
	at, n := w.at(), 0
	had := len(at)
	for n < len(frames) && len(at) >= p.header {
		h := (*[pcapRecord]byte)(at)
		kept := order32(h[8:12], p.big)
		if kept > MaxSnap || len(at)-p.header < int(kept) {
			break
		}
		end := p.header + int(kept)
		p.fill(&frames[n], h, at[p.header:end:end])
		at = at[end:]
		n++
	}
	w.advance(had - len(at))
	return n
}

// damaged says that something could not be read in full; it begins back bytes before
// the place in the window.
func damaged(w *window, back int, what string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &DamageError{Offset: w.offset() - int64(back), Reason: "the file ends within " + what, Err: io.ErrUnexpectedEOF}
	}
	return &DamageError{Offset: w.offset() - int64(back), Reason: "read " + what, Err: err}
}

// linkOf gives the link type of a file; raw IP has had other numbers on some systems
// (libpcap, pcap-common.c).
func linkOf(number uint16) packet.Link {
	switch number {
	case 12, 14:
		return packet.LinkRaw
	}
	return packet.Link(number)
}

// order16, order32 and order64 read numbers in one byte order or the other.
func order16(b []byte, big bool) uint16 {
	if big {
		return binary.BigEndian.Uint16(b)
	}
	return binary.LittleEndian.Uint16(b)
}

func order32(b []byte, big bool) uint32 {
	if big {
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}

func order64(b []byte, big bool) uint64 {
	if big {
		return binary.BigEndian.Uint64(b)
	}
	return binary.LittleEndian.Uint64(b)
}
