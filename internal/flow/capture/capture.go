// Package capture reads frames: live from an interface, or from pcap and pcapng
// files.
package capture

import (
	"errors"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// ErrQuiet says that no frame came for a while: a live source returns it ten times a
// second, and four times when it has been quiet for long, so that who reads can let
// time pass.
var ErrQuiet = errors.New("no frame for now")

// Source gives frames one after the other. One goroutine uses it.
type Source interface {
	// Next fills f. It returns ErrQuiet when nothing came, io.EOF at the end of a
	// file, and any other error when no more can be read.
	Next(f *packet.Frame) error
	// Stats may be asked at any time, also from other goroutines.
	Stats() Stats
	// Close ends the source. It is called once, after the last Next.
	Close() error
}

// Batch fills as many of frames as the source has at hand, at least one, and says how
// many; all are valid until the source is read again. Errors are those of Next, and
// come alone. Sources that hold one frame at a time give one.
func Batch(s Source, frames []packet.Frame) (int, error) {
	if b, can := s.(batcher); can {
		return b.Batch(frames)
	}
	if err := s.Next(&frames[0]); err != nil {
		return 0, err
	}
	return 1, nil
}

// batcher is a Source that holds many frames at once.
type batcher interface {
	Batch(frames []packet.Frame) (int, error)
}

// Stats are counts since a source was opened.
type Stats struct {
	Frames, Bytes uint64
	// Dropped are frames that the kernel lost for want of room, Frozen how often its
	// ring was full.
	Dropped, Frozen uint64
	// Offloaded are frames that stood for several segments. SegmentsKnown says
	// whether the source can tell.
	Offloaded     uint64
	SegmentsKnown bool
}
