package capture

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/bpf"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// Auto asks for the interface of the default route.
const Auto = "auto"

// Defaults of Options.
const (
	// DefaultSnap is enough for what is read of payloads, and keeps large segments
	// whole.
	DefaultSnap = 65535
	// DefaultBlocks make 16 MiB of each ring: a third of a second at 500,000
	// frames of 100 bytes a second.
	DefaultBlocks = 32
	// blockSize is that of a block of a ring, in bytes; one holds the largest frame.
	blockSize = 512 << 10
)

// ErrInterfaceDown says that an interface went down or away. Sources of it are to be
// closed, and opened again once it is back: Follow tells.
var ErrInterfaceDown = errors.New("the interface is down or gone")

// ErrUnsupported says that live capture is not on this system.
var ErrUnsupported = errors.New("live capture is not on this system")

// Options say what to capture.
type Options struct {
	// Interface is a name, or Auto.
	Interface string
	// Snap is how many bytes of a frame are kept; 0 is DefaultSnap, MaxSnap the most.
	Snap int
	// Blocks is how many blocks of 512 KiB each source's ring has; 0 is
	// DefaultBlocks.
	Blocks int
	// Fanout is how many sources share the frames, both directions of a flow to the
	// same; 0 is 1.
	Fanout int
	// Filter gives the program that decides which frames the kernel hands over, for
	// the link type that the interface has; nil takes all. What the program returns
	// beyond Snap is cut to it. Linux takes the outermost VLAN tag off before the
	// program sees a frame.
	Filter func(packet.Link) ([]bpf.RawInstruction, error)
	// Promiscuous takes frames to other hosts too. AllMulticast takes those to all groups,
	// of which an interface by itself takes those that a program of this host joined.
	Promiscuous, AllMulticast bool
}

// filled gives the options with defaults, or what is wrong with them.
func (o Options) filled() (Options, error) {
	if o.Interface == "" {
		o.Interface = Auto
	}
	if o.Snap == 0 {
		o.Snap = DefaultSnap
	}
	if o.Blocks == 0 {
		o.Blocks = DefaultBlocks
	}
	if o.Fanout == 0 {
		o.Fanout = 1
	}
	if o.Snap < 64 || o.Snap > MaxSnap {
		return o, fmt.Errorf("a snap length of %d bytes: it must be 64 to %d", o.Snap, MaxSnap)
	}
	if o.Blocks < 2 || o.Blocks > 2048 {
		return o, fmt.Errorf("a ring of %d blocks: it must have 2 to 2048", o.Blocks)
	}
	if o.Fanout < 1 || o.Fanout > 64 {
		return o, fmt.Errorf("%d sources of one interface: there must be 1 to 64", o.Fanout)
	}
	return o, nil
}

// maxProgram is how many instructions a kernel takes (BPF_MAXINSNS).
const maxProgram = 4096

// program gives the filter of o for a link type, which cuts frames to Snap.
func (o Options) program(link packet.Link) ([]bpf.RawInstruction, error) {
	const returnK = 0x06 // BPF_RET | BPF_K
	if o.Filter == nil {
		return []bpf.RawInstruction{{Op: returnK, K: uint32(o.Snap)}}, nil
	}
	given, err := o.Filter(link)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	if len(given) == 0 || len(given) > maxProgram {
		return nil, fmt.Errorf("filter: a program of %d instructions: a kernel takes 1 to %d", len(given), maxProgram)
	}
	program := make([]bpf.RawInstruction, len(given))
	for i, in := range given {
		if in.Op == returnK {
			in.K = min(in.K, uint32(o.Snap))
		}
		program[i] = in
	}
	return program, nil
}

// PrivilegeError says that the system does not let this process capture, and what
// helps.
type PrivilegeError struct {
	// Needs is the capability, or the file, that is lacking.
	Needs string
	// Command gives it.
	Command string
	Err     error
}

// Error names the lack and the command.
func (e *PrivilegeError) Error() string {
	return fmt.Sprintf("capture needs %s: %s", e.Needs, e.Command)
}

// Unwrap gives what the system said.
func (e *PrivilegeError) Unwrap() error { return e.Err }

// NoInterfaceError says that there is no interface as asked for.
type NoInterfaceError struct {
	// Wanted is a name, or Auto; Have are the names that there are.
	Wanted string
	Have   []string
}

// Error says which there are.
func (e *NoInterfaceError) Error() string {
	have := "there are " + strings.Join(e.Have, ", ")
	switch {
	case len(e.Have) == 0:
		have = "there are none"
	case len(e.Have) == 1:
		have = "there is only " + e.Have[0]
	}
	if e.Wanted == Auto {
		return "no interface is up beside loopback, and there is no default route: " + have +
			"; in a container, give it a network or the host's, or name the interface to capture from"
	}
	return fmt.Sprintf("no interface %s: %s", e.Wanted, have)
}

// Interface is one that frames can be captured from. The zero value is none.
type Interface struct {
	// Index stays the same while an interface is renamed, and is another when one of
	// the same name comes again.
	Index int
	Name  string
	// Up says that it is administratively up.
	Up bool
	// Loopback shows each packet twice, once each way.
	Loopback bool
	// Hardware is its ARPHRD type on Linux.
	Hardware uint16
}
