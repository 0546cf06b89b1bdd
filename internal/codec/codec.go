// Package codec packs runs of event fields: what an agent packs once travels over the
// wire and lies in the log as it came, until somebody reads the events.
package codec

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/klauspost/compress/s2"
)

// Codec says how a run of event fields is packed. Its number is that of the Codec of
// the wire (bus.proto) and of a record in the log.
type Codec uint8

const (
	// None leaves bytes as they are.
	None Codec = 0
	// S2 is the block format of github.com/klauspost/compress/s2, which reads Snappy's
	// too. A block begins with its length unpacked.
	S2 Codec = 1
)

// Metadata is the key under which a hub says, in the header of its response to
// Publish, which codecs it takes.
const Metadata = "amoskys-codecs"

// Why bytes are not unpacked.
var (
	// ErrUnknown says that this program does not know the codec.
	ErrUnknown = errors.New("unknown codec")
	// ErrCorrupt says that the bytes are not what the codec makes.
	ErrCorrupt = errors.New("packed bytes are damaged")
	// ErrTooLarge says that they would unpack to more than is allowed.
	ErrTooLarge = errors.New("packed bytes are too large when unpacked")
)

// Known are the codecs that pack, best first.
func Known() []Codec { return []Codec{S2} }

// Announce words codecs as a hub does under Metadata.
func Announce(codecs []Codec) string {
	names := make([]string, len(codecs))
	for i, c := range codecs {
		names[i] = c.String()
	}
	return strings.Join(names, ",")
}

// Choose returns the best codec of those announced that this program knows, None where
// there is none.
func Choose(announced ...string) Codec {
	names := strings.Split(strings.Join(announced, ","), ",")
	for _, c := range Known() {
		if slices.ContainsFunc(names, func(name string) bool { return strings.TrimSpace(name) == c.String() }) {
			return c
		}
	}
	return None
}

// String returns the codec's word: "none", "s2", or "codec(N)" for one that is not
// known.
func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case S2:
		return "s2"
	}
	return fmt.Sprintf("codec(%d)", uint8(c))
}

// Parse is the reverse of String for what is known.
func Parse(name string) (Codec, error) {
	for _, c := range append(Known(), None) {
		if c.String() == name {
			return c, nil
		}
	}
	return None, fmt.Errorf("%w %q: it may be %s or none", ErrUnknown, name, Announce(Known()))
}

// Pack appends raw to dst, packed. It panics on a codec that is not known.
func (c Codec) Pack(dst, raw []byte) []byte {
	switch c {
	case None:
		return append(dst, raw...)
	case S2:
		at := len(dst)
		dst = slices.Grow(dst, s2.MaxEncodedLen(len(raw)))
		return dst[:at+len(s2.Encode(dst[at:cap(dst)], raw))]
	}
	panic("codec: pack with " + c.String())
}

// Size returns how long packed says to be when unpacked. Nothing is unpacked to know
// it, and what it says may be wrong.
func (c Codec) Size(packed []byte) (int, error) {
	switch c {
	case None:
		return len(packed), nil
	case S2:
		n, err := s2.DecodedLen(packed)
		switch {
		case errors.Is(err, s2.ErrTooLarge):
			return 0, fmt.Errorf("%w: more than any machine has", ErrTooLarge)
		case err != nil:
			return 0, fmt.Errorf("%w: no length", ErrCorrupt)
		}
		return n, nil
	}
	return 0, fmt.Errorf("%w %d", ErrUnknown, uint8(c))
}

// Unpack appends what was packed to dst. What says to be longer than most is refused
// before a byte of it is unpacked.
func (c Codec) Unpack(dst, packed []byte, most int) ([]byte, error) {
	n, err := c.Size(packed)
	switch {
	case err != nil:
		return nil, err
	case n > most:
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrTooLarge, n, most)
	case c == None:
		return append(dst, packed...), nil
	}
	at := len(dst)
	dst = slices.Grow(dst, n)
	out, err := s2.Decode(dst[at:at+n], packed)
	if err != nil || len(out) != n {
		return nil, ErrCorrupt
	}
	return dst[:at+n], nil
}
