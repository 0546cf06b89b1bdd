package capture

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// Types of blocks (draft-ietf-opsawg-pcapng, section 10.1), and lengths in bytes.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockOldPacket = 2
	blockSimple    = 3
	blockEnhanced  = 6

	byteOrderMagic = 0x1a2b3c4d

	blockHeader   = 8
	blockTrailer  = 4
	sectionFixed  = 16 // magic, version, section length
	ifaceFixed    = 8
	enhancedFixed = 20
	simpleFixed   = 4

	// maxInterfaces bounds those of a section: their numbers have 16 bits in Frame.
	maxInterfaces = 1 << 16
)

// Options of an interface (section 4.2).
const (
	optionEnd        = 0
	optionResolution = 9
	optionOffset     = 14
)

// pcapng reads the next generation's format.
type pcapng struct {
	big        bool
	interfaces []fileInterface
	last       int64 // time of the last frame that had one
}

// fileInterface is what a section says of one interface.
type fileInterface struct {
	link packet.Link
	snap uint32
	resolution
}

func newPcapng(w *window) (*pcapng, error) {
	p := &pcapng{}
	head, err := w.peek(blockHeader + 4)
	if err != nil {
		return nil, damaged(w, 0, "the file's header", err)
	}
	if order32(head[8:], false) != byteOrderMagic && order32(head[8:], true) != byteOrderMagic {
		return nil, ErrNotCapture
	}
	return p, nil
}

// next reads blocks until one holds a frame.
func (p *pcapng) next(w *window, f *packet.Frame) error {
	for {
		head, err := w.peek(blockHeader)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return io.EOF
			}
			return damaged(w, 0, "a block's header", err)
		}
		kind := order32(head, p.big)
		if kind == blockSection {
			if err := p.section(w); err != nil {
				return err
			}
			continue
		}
		length := order32(head[4:], p.big)
		if length < blockHeader+blockTrailer || length%4 != 0 {
			return &DamageError{Offset: w.offset(), Reason: fmt.Sprintf("a block of %d bytes", length)}
		}
		switch kind {
		case blockEnhanced, blockInterface, blockSimple, blockOldPacket:
			body, err := block(w, length, p.big)
			if err != nil {
				return err
			}
			found, reason := p.known(kind, body, f)
			if reason != "" {
				return &DamageError{Offset: w.offset(), Reason: reason}
			}
			w.advance(int(length))
			if found {
				return nil
			}
		default:
			if err := skip(w, length, p.big); err != nil {
				return err
			}
		}
	}
}

// block gives the body of a block, whole in the window.
func block(w *window, length uint32, big bool) ([]byte, error) {
	if length > maxBlock {
		return nil, &DamageError{Offset: w.offset(), Reason: fmt.Sprintf("a block of %d bytes, more than %d", length, maxBlock)}
	}
	all, err := w.peek(int(length))
	if err != nil {
		return nil, damaged(w, 0, "a block", err)
	}
	if again := order32(all[length-blockTrailer:], big); again != length {
		return nil, &DamageError{Offset: w.offset(), Reason: fmt.Sprintf("a block of %d bytes ends as one of %d", length, again)}
	}
	return all[blockHeader : length-blockTrailer], nil
}

// skip passes a block that is not read, of any length.
func skip(w *window, length uint32, big bool) error {
	at := w.offset()
	err := w.discard(int64(length) - blockTrailer)
	if err == nil {
		var trailer []byte
		if trailer, err = w.peek(blockTrailer); err == nil {
			again := order32(trailer, big)
			w.advance(blockTrailer)
			if again == length {
				return nil
			}
			return &DamageError{Offset: at, Reason: fmt.Sprintf("a block of %d bytes ends as one of %d", length, again)}
		}
	}
	return damaged(w, int(w.offset()-at), "a block", err)
}

// section begins a section: byte order and interfaces are its own (section 4.1).
func (p *pcapng) section(w *window) error {
	head, err := w.peek(blockHeader + sectionFixed)
	if err != nil {
		return damaged(w, 0, "a section's header", err)
	}
	switch magic := head[8:12]; {
	case order32(magic, false) == byteOrderMagic:
		p.big = false
	case order32(magic, true) == byteOrderMagic:
		p.big = true
	default:
		return &DamageError{Offset: w.offset(), Reason: "a section without the byte-order magic"}
	}
	length := order32(head[4:], p.big)
	if length < blockHeader+sectionFixed+blockTrailer || length%4 != 0 {
		return &DamageError{Offset: w.offset(), Reason: fmt.Sprintf("a section's header of %d bytes", length)}
	}
	if major := order16(head[12:], p.big); major != 1 {
		return &DamageError{Offset: w.offset(), Reason: fmt.Sprintf("a section of version %d, not 1", major)}
	}
	if _, err := block(w, length, p.big); err != nil {
		return err
	}
	w.advance(int(length))
	p.interfaces = p.interfaces[:0]
	return nil
}

// known reads a block of interest: found says that it was a frame, reason what is
// wrong with it.
func (p *pcapng) known(kind uint32, body []byte, f *packet.Frame) (found bool, reason string) {
	switch kind {
	case blockInterface:
		return false, p.addInterface(body)
	case blockSimple:
		return true, p.simple(body, f)
	case blockOldPacket:
		if len(body) < enhancedFixed {
			return false, "a packet block too short for its fields"
		}
		return true, p.framed(uint32(order16(body, p.big)), body, f)
	}
	if len(body) < enhancedFixed {
		return false, "a packet block too short for its fields"
	}
	return true, p.framed(order32(body, p.big), body, f)
}

// held implements format. It reads blocks of the commonest kind alone; all others, and
// what is damaged, are left to next.
func (p *pcapng) held(w *window, frames []packet.Frame) int {
	at, n := w.at(), 0
	had := len(at)
	for n < len(frames) && len(at) >= blockHeader+enhancedFixed+blockTrailer && order32(at, p.big) == blockEnhanced {
		length := order32(at[4:], p.big)
		if length < blockHeader+enhancedFixed+blockTrailer || length%4 != 0 || length > maxBlock || int(length) > len(at) ||
			order32(at[length-blockTrailer:], p.big) != length {
			break
		}
		body := at[blockHeader : length-blockTrailer]
		if p.framed(order32(body, p.big), body, &frames[n]) != "" {
			break
		}
		at = at[length:]
		n++
	}
	w.advance(had - len(at))
	return n
}

// addInterface reads an Interface Description Block.
func (p *pcapng) addInterface(body []byte) string {
	if len(body) < ifaceFixed {
		return "an interface block too short for its fields"
	}
	if len(p.interfaces) >= maxInterfaces {
		return fmt.Sprintf("a section of more than %d interfaces", maxInterfaces)
	}
	i := fileInterface{link: linkOf(order16(body, p.big)), snap: order32(body[4:], p.big), resolution: resolution{exponent: 6}}
	for options := body[ifaceFixed:]; len(options) >= 4; {
		code, length := order16(options, p.big), int(order16(options[2:], p.big))
		if code == optionEnd {
			break
		}
		value := options[4:]
		if length > len(value) {
			return "an option longer than its block"
		}
		switch {
		case code == optionResolution && length == 1:
			i.exponent, i.binary = value[0]&0x7f, value[0]&0x80 != 0
			if !i.valid() {
				return fmt.Sprintf("an interface with times of resolution %#x", value[0])
			}
		case code == optionOffset && length == 8:
			seconds := int64(order64(value, p.big))
			if i.offset = seconds * 1e9; i.offset/1e9 != seconds {
				return fmt.Sprintf("an interface with times from %d s on, which cannot be told", seconds)
			}
		}
		options = value[min((length+3)&^3, len(value)):]
	}
	p.interfaces = append(p.interfaces, i)
	return ""
}

// framed reads an Enhanced Packet Block, or an obsolete Packet Block, whose fields lie
// at the same places behind the interface.
func (p *pcapng) framed(number uint32, body []byte, f *packet.Frame) string {
	if int64(number) >= int64(len(p.interfaces)) {
		return fmt.Sprintf("a frame of interface %d, of which nothing was said", number)
	}
	i := &p.interfaces[number]
	ticks := uint64(order32(body[4:], p.big))<<32 | uint64(order32(body[8:], p.big))
	kept, wire := order32(body[12:], p.big), order32(body[16:], p.big)
	if kept > MaxSnap || int64(kept) > int64(len(body)-enhancedFixed) {
		return fmt.Sprintf("a frame of %d bytes in a block of %d", kept, len(body))
	}
	at, ok := i.nanoseconds(ticks)
	if !ok {
		return "a frame with a time that cannot be told: the years 1678 to 2262 can"
	}
	f.Time = at
	f.Data, f.Wire, f.Link = body[enhancedFixed:enhancedFixed+int(kept)], max(wire, kept), i.link
	f.Interface, f.GSOSize = uint16(number), 0
	p.last = f.Time
	return ""
}

// simple reads a Simple Packet Block: it is of the first interface and has no time, so
// that the time of the frame before must do.
func (p *pcapng) simple(body []byte, f *packet.Frame) string {
	if len(body) < simpleFixed {
		return "a packet block too short for its fields"
	}
	if len(p.interfaces) == 0 {
		return "a frame of interface 0, of which nothing was said"
	}
	wire := order32(body, p.big)
	kept := wire
	if snap := p.interfaces[0].snap; snap != 0 {
		kept = min(kept, snap)
	}
	if kept > MaxSnap || int64(kept) > int64(len(body)-simpleFixed) {
		return fmt.Sprintf("a frame of %d bytes in a block of %d", kept, len(body))
	}
	f.Time, f.Data, f.Wire, f.Link = p.last, body[simpleFixed:simpleFixed+int(kept)], wire, p.interfaces[0].link
	f.Interface, f.GSOSize = 0, 0
	return ""
}

// resolution is what a unit of an interface's times is: 10 or 2 to the power of minus
// exponent, in seconds, and an offset in nanoseconds.
type resolution struct {
	exponent uint8
	binary   bool
	offset   int64
}

// valid says whether times of the resolution can be computed with.
func (r resolution) valid() bool {
	return r.exponent <= 19 || r.binary && r.exponent <= 63
}

// nanoseconds converts a time; ok is false for one that 64 bits do not hold, which would be
// taken for another.
func (r resolution) nanoseconds(ticks uint64) (at int64, ok bool) {
	var high, low uint64
	switch {
	case r.binary:
		var part uint64 // of a second
		part, low = bits.Mul64(ticks&(1<<r.exponent-1), 1e9)
		if r.exponent > 0 {
			low = low>>r.exponent | part<<(64-r.exponent)
		}
		var seconds, carry uint64
		high, seconds = bits.Mul64(ticks>>r.exponent, 1e9)
		low, carry = bits.Add64(seconds, low, 0)
		high += carry
	case r.exponent <= 9:
		high, low = bits.Mul64(ticks, powers[9-r.exponent])
	default:
		low = ticks / powers[r.exponent-9]
	}
	if high != 0 || low > math.MaxInt64 {
		return 0, false
	}
	at = int64(low) + r.offset
	return at, at >= int64(low) == (r.offset >= 0)
}

// powers are those of ten.
//
//nolint:gochecknoglobals // only read, for each frame
var powers = [...]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10}
