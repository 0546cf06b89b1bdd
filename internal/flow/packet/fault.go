package packet

// Fault is why a frame could not be read to its end. It is an error and small, so
// that who counts faults can index an array of Faults elements by it.
type Fault uint8 //nolint:errname // the word for what a frame has

// The faults that Decode returns.
const (
	// ErrCut: a header was not captured in full. The frame itself may be sound.
	ErrCut Fault = iota
	// ErrShort: the frame, or the packet around, ends within a header.
	ErrShort
	// ErrLength: a header states a length that cannot be: shorter than itself, or
	// longer than what is around it.
	ErrLength
	// ErrVersion: an IP header is of another version than what announced it.
	ErrVersion
	// ErrTunnels: more than MaxTunnels headers lie around the packet.
	ErrTunnels
	// ErrExtensions: more than maxExtensions headers lie between IP and transport.
	ErrExtensions
	// ErrLink: the link type is not one that Decode reads.
	ErrLink

	// Faults is how many there are.
	Faults int = iota
)

// Error says it in a few words.
func (f Fault) Error() string {
	switch f {
	case ErrCut:
		return "the capture cut a header"
	case ErrShort:
		return "the frame ends within a header"
	case ErrLength:
		return "a header states an impossible length"
	case ErrVersion:
		return "an IP header of the wrong version"
	case ErrTunnels:
		return "too many tunnels around a packet"
	case ErrExtensions:
		return "too many headers between IP and transport"
	case ErrLink:
		return "a link type that is not read"
	}
	return "unknown fault"
}

// Kind names the fault as metrics label it.
func (f Fault) Kind() string {
	switch f {
	case ErrCut:
		return "cut"
	case ErrShort:
		return "short"
	case ErrLength:
		return "length"
	case ErrVersion:
		return "version"
	case ErrTunnels:
		return "tunnels"
	case ErrExtensions:
		return "extensions"
	case ErrLink:
		return "link"
	}
	return "unknown"
}

// lack says why a header of need bytes cannot be read where fewer were captured: rest
// is how many bytes there were on the wire.
func lack(rest, need uint32) error {
	if rest < need {
		return ErrShort
	}
	return ErrCut
}
