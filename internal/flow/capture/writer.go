package capture

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// Writer writes a pcap file with times in nanoseconds. One goroutine uses it.
type Writer struct {
	w     *bufio.Writer
	link  packet.Link
	snap  uint32
	bytes int64
}

// NewWriter begins a file of frames of one link type, of which at most snap bytes each
// are kept; 0 is MaxSnap.
func NewWriter(w io.Writer, link packet.Link, snap uint32) (*Writer, error) {
	if snap == 0 || snap > MaxSnap {
		snap = MaxSnap
	}
	var h [pcapFileHeader]byte
	binary.LittleEndian.PutUint32(h[0:], pcapNano)
	binary.LittleEndian.PutUint16(h[4:], 2)
	binary.LittleEndian.PutUint16(h[6:], 4)
	binary.LittleEndian.PutUint32(h[16:], snap)
	binary.LittleEndian.PutUint32(h[20:], uint32(link))
	buffered := bufio.NewWriterSize(w, 64<<10)
	if _, err := buffered.Write(h[:]); err != nil {
		return nil, fmt.Errorf("write capture: %w", err)
	}
	return &Writer{w: buffered, link: link, snap: snap, bytes: pcapFileHeader}, nil
}

// Write appends a frame. Its time must lie between 1970 and 2106, which is what the
// format holds.
func (w *Writer) Write(f *packet.Frame) error {
	if f.Link != w.link {
		return fmt.Errorf("write capture: a frame of link type %d in a file of type %d", f.Link, w.link)
	}
	seconds := f.Time / 1e9
	if f.Time < 0 || seconds > 1<<32-1 {
		return fmt.Errorf("write capture: time %d lies outside of 1970 to 2106", f.Time)
	}
	data := f.Data[:min(len(f.Data), int(w.snap))]
	var h [pcapRecord]byte
	binary.LittleEndian.PutUint32(h[0:], uint32(seconds))
	binary.LittleEndian.PutUint32(h[4:], uint32(f.Time%1e9))
	binary.LittleEndian.PutUint32(h[8:], uint32(len(data)))
	binary.LittleEndian.PutUint32(h[12:], max(f.Wire, uint32(len(f.Data))))
	if _, err := w.w.Write(h[:]); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	if _, err := w.w.Write(data); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	w.bytes += int64(len(h) + len(data))
	return nil
}

// Bytes is how long the file is, with what is still to be flushed.
func (w *Writer) Bytes() int64 { return w.bytes }

// Flush hands all frames to the underlying writer.
func (w *Writer) Flush() error {
	if err := w.w.Flush(); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	return nil
}
