package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// MaxSnap is the most bytes of one frame that are read or kept; libpcap has the same
// bound.
const MaxSnap = 256 << 10

// ErrNotCapture says that a file is neither pcap nor pcapng.
var ErrNotCapture = errors.New("neither a pcap nor a pcapng file")

// DamageError says where a capture file can be read no further. All frames before
// that place have been given.
type DamageError struct {
	// Offset is where the block or frame begins, in bytes from the start of the
	// file, or of what it unpacks to.
	Offset int64
	Reason string
	// Err is what reading returned, if that is the reason.
	Err error
}

// Error says it for people.
func (e *DamageError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("damaged at byte %d: %s: %v", e.Offset, e.Reason, e.Err)
	}
	return fmt.Sprintf("damaged at byte %d: %s", e.Offset, e.Reason)
}

// Unwrap gives what reading returned.
func (e *DamageError) Unwrap() error { return e.Err }

// File reads frames from a pcap or pcapng file, packed by gzip or zstd or not, or from
// a pipe. It holds at most some megabytes, whatever the file says.
type File struct {
	window window
	format format
	stats  fileStats
	closed []io.Closer
}

var (
	_ Source  = (*File)(nil)
	_ batcher = (*File)(nil)
)

// format reads the frames of one file format.
type format interface {
	next(w *window, f *packet.Frame) error
	// held reads the next frames as far as all of them lie in the window, which then
	// does not move, and says how many. What it does not read, next does.
	held(w *window, frames []packet.Frame) int
}

// OpenFile opens a capture file; "-" is standard input. A FIFO is read as it is
// written.
func OpenFile(path string) (*File, error) {
	if path == "-" {
		return NewFile(os.Stdin)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open capture: %w", err)
	}
	f, err := NewFile(file)
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	f.closed = append(f.closed, file)
	return f, nil
}

// NewFile reads a capture from r, whose owner closes it after the File.
func NewFile(r io.Reader) (*File, error) {
	f := &File{}
	f.window.reset(r, f.stats.publish)
	if err := f.unpack(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	head, err := f.window.peek(4)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.Join(ErrNotCapture, f.Close())
	case err != nil && len(f.closed) > 0:
		return nil, errors.Join(fmt.Errorf("unpack: %w", err), f.Close())
	case err != nil:
		return nil, errors.Join(err, f.Close())
	}
	if f.format, err = f.open(head); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// unpack puts a decompressor before the window where the first bytes are those of
// gzip (RFC 1952) or zstd (RFC 8878).
func (f *File) unpack() error {
	head, err := f.window.peek(4)
	if err != nil {
		return nil // too short for any format, which open says
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		unpacked, err := gzip.NewReader(f.window.rest())
		if err != nil {
			return fmt.Errorf("unpack gzip: %w", err)
		}
		f.closed = append(f.closed, unpacked)
		f.window.reset(unpacked, f.stats.publish)
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		unpacked, err := zstd.NewReader(f.window.rest(), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return fmt.Errorf("unpack zstd: %w", err)
		}
		f.closed = append(f.closed, unpacked.IOReadCloser())
		f.window.reset(unpacked, f.stats.publish)
	}
	return nil
}

// maxZstdWindow is that of zstd -19; what --ultra --long makes may need more, and is
// refused.
const maxZstdWindow = 8 << 20

// open tells the format by its first four bytes.
func (f *File) open(head []byte) (format, error) {
	if bytes.Equal(head, []byte{0x0a, 0x0d, 0x0d, 0x0a}) {
		return newPcapng(&f.window)
	}
	return newPcap(&f.window)
}

// Next fills frame with the next frame of the file. An error other than io.EOF is a
// *DamageError; after either there is nothing more.
func (f *File) Next(frame *packet.Frame) error {
	err := f.format.next(&f.window, frame)
	if err != nil {
		f.stats.publish()
		return err
	}
	f.stats.frames++
	f.stats.bytes += uint64(frame.Wire)
	return nil
}

// Batch gives the next frame, and those behind it that were read with it.
func (f *File) Batch(frames []packet.Frame) (int, error) {
	if err := f.Next(&frames[0]); err != nil {
		return 0, err
	}
	n := 1 + f.format.held(&f.window, frames[1:])
	for i := range frames[1:n] {
		f.stats.bytes += uint64(frames[1+i].Wire)
	}
	f.stats.frames += uint64(n - 1)
	return n, nil
}

// Settle makes Stats exact. Who reads calls it, between two reads.
func (f *File) Settle() { f.stats.publish() }

// Stats counts what was read; until Settle it may be some frames behind.
func (f *File) Stats() Stats {
	return Stats{Frames: f.stats.publicFrames.Load(), Bytes: f.stats.publicBytes.Load()}
}

// Close closes the file that OpenFile had opened.
func (f *File) Close() error {
	errs := make([]error, 0, len(f.closed))
	for _, c := range f.closed {
		errs = append(errs, c.Close())
	}
	f.closed = nil
	return errors.Join(errs...)
}
