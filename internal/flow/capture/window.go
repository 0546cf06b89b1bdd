package capture

import (
	"bytes"
	"io"
	"sync/atomic"
)

// Sizes of a window, in bytes: it begins with what the processor's cache holds, and
// grows to hold one block, never more.
const (
	windowSize = 256 << 10
	maxBlock   = 1 << 20
)

// window is a view of a stream, which moves forward: what lies in it is used where it
// lies, without a copy.
type window struct {
	r        io.Reader
	buf      []byte
	from, to int   // what of buf is still to be read
	base     int64 // offset of buf[0] in the stream
	err      error // what the reader ended with
	// before is called before each read, which may take long.
	before func()
}

// reset begins with another stream, in the same memory.
func (w *window) reset(r io.Reader, before func()) {
	if w.buf == nil {
		w.buf = make([]byte, windowSize)
	}
	*w = window{r: r, buf: w.buf, before: before}
}

// offset is where in the stream the next byte lies.
func (w *window) offset() int64 { return w.base + int64(w.from) }

// peek gives the next n bytes, n at most maxBlock, which stay to be read. They are
// valid until the next call. Where the stream ends before, the error is io.EOF, or
// io.ErrUnexpectedEOF when some bytes were left.
func (w *window) peek(n int) ([]byte, error) {
	if w.to-w.from >= n {
		return w.buf[w.from : w.from+n], nil
	}
	return w.fill(n)
}

// at gives what was read and is still to be used.
func (w *window) at() []byte { return w.buf[w.from:w.to] }

// advance passes n bytes that peek had given.
func (w *window) advance(n int) { w.from += n }

// fill reads on until n bytes are there.
func (w *window) fill(n int) ([]byte, error) {
	w.move(n)
	for idle := 0; w.to-w.from < n; {
		if w.err != nil {
			return nil, w.ended()
		}
		w.before()
		var got int
		got, w.err = w.r.Read(w.buf[w.to:])
		w.to += got
		if got > 0 {
			idle = 0
		} else if idle++; idle > 100 && w.err == nil {
			w.err = io.ErrNoProgress
		}
	}
	return w.buf[w.from : w.from+n], nil
}

// move makes room for n bytes.
func (w *window) move(n int) {
	left := w.buf[w.from:w.to]
	if n > len(w.buf) {
		w.buf = make([]byte, max(n, 2*len(w.buf)))
	}
	copy(w.buf, left)
	w.base += int64(w.from)
	w.from, w.to = 0, len(left)
}

// ended says how the stream ended.
func (w *window) ended() error {
	if w.err == io.EOF && w.to > w.from { //nolint:errorlint // a Reader returns io.EOF itself
		return io.ErrUnexpectedEOF
	}
	return w.err
}

// discard passes n bytes, however many.
func (w *window) discard(n int64) error {
	for n > 0 {
		if w.from == w.to {
			if _, err := w.fill(1); err != nil {
				return err
			}
		}
		step := min(n, int64(w.to-w.from))
		w.from += int(step)
		n -= step
	}
	return nil
}

// rest gives what is still to be read, for another reader to read it. The window is
// not used after that until its reset, which takes other memory.
func (w *window) rest() io.Reader {
	seen := w.buf[w.from:w.to]
	w.buf = nil
	return io.MultiReader(bytes.NewReader(seen), w.r)
}

// fileStats are counted by who reads and published before each read of the stream, so
// that a frame costs no atomic operation.
type fileStats struct {
	frames, bytes             uint64
	publicFrames, publicBytes atomic.Uint64
}

func (s *fileStats) publish() {
	s.publicFrames.Store(s.frames)
	s.publicBytes.Store(s.bytes)
}
