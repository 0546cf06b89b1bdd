package wal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
)

// rewriteBufferBytes is how much is written at once.
const rewriteBufferBytes = 1 << 20

// write writes the new segments into their folder and makes them durable.
func (r *rewriter) write(ctx context.Context) error {
	if err := r.makeFolder(rewriteDir); err != nil {
		return err
	}
	if err := r.carryOn(ctx); err != nil {
		return err
	}
	r.made = map[int][]Offset{}
	err := r.each(ctx, "write", func(i int, records func(func(*scanned) error) error) error {
		return r.writeSegment(i, records)
	})
	if err != nil {
		return err
	}
	return r.fs.SyncDir(filepath.Join(r.o.Dir, rewriteDir))
}

// carryOn sets the chain value that the first new segment carries on: what the old one
// says, or, where its header is lost, the end of the one before it.
func (r *rewriter) carryOn(ctx context.Context) error {
	first := &r.found.segs[r.from]
	r.chain = first.header.prev
	if first.reason == "" || r.from == 0 {
		return nil
	}
	r.chain = r.found.segs[r.from-1].header.chain()
	return openWalk(r.fs, r.o.Dir, &r.found, r.from-1, func(w *walk) error {
		return r.records(ctx, w, "", 0, func(rec *scanned) error {
			r.chain = rec.header.chain
			return nil
		})
	})
}

// begin begins the new segment at first, in place of the i-th or of a part of it.
func (r *rewriter) begin(i int, first Offset) (*segmentWriter, error) {
	old := &r.found.segs[i]
	h := segmentHeader{
		version: uint32(r.o.Format), flags: old.header.flags, first: first, created: old.header.created, prev: r.chain, salt: newSalt(),
	}
	if i > r.from || first > old.first {
		h.flags &^= flagVoid // nothing is behind the last record of a new segment
	}
	f, err := r.fs.Create(filepath.Join(r.o.Dir, rewriteDir, segmentName(first)))
	if err != nil {
		return nil, err
	}
	r.made[i] = append(r.made[i], first)
	r.chain = h.chain()
	return &segmentWriter{file: f, first: first, salt: h.salt, buf: h.encode()}, nil
}

// segmentWriter writes a new segment's records.
type segmentWriter struct {
	file  vfs.File
	first Offset
	salt  uint32
	buf   []byte
	pos   int64 // of buf in the file
}

// end returns where the next record goes.
func (w *segmentWriter) end() int64 { return w.pos + int64(len(w.buf)) }

// close makes the segment durable, unless something has failed.
func (w *segmentWriter) close(err error) error {
	if err == nil {
		err = w.flush()
	}
	if err == nil {
		err = w.file.Sync()
	}
	return errors.Join(err, w.file.Close())
}

func (w *segmentWriter) flush() error {
	if _, err := w.file.WriteAt(w.buf, w.pos); err != nil {
		return err
	}
	w.pos += int64(len(w.buf))
	w.buf = w.buf[:0]
	return nil
}

// writeSegment writes the new segment in place of the i-th, and moves the chain on.
//
// No record may begin further behind the segment's first offset than mostBefore allows.
// Damage can leave a hole that is wider, since its bytes are not copied; what follows then
// begins a segment of its own. Its flags say that it has a checkpoint, where the old one
// had one, so that recovery goes back to that.
func (r *rewriter) writeSegment(i int, records func(func(*scanned) error) error) error {
	old := &r.found.segs[i]
	w, err := r.begin(i, old.first)
	if err != nil {
		return err
	}
	r.oldChain = old.header.chain()
	r.passHead(old.first)
	err = records(func(rec *scanned) error {
		var h header
		publisher, payload, err := r.remake(&h, rec)
		r.oldChain = rec.header.chain
		if err != nil {
			r.plan.BadPlaces++
			return nil //nolint:nilerr // it is counted
		}
		if h.first-w.first > mostBefore(uint32(r.o.Format), w.end()) {
			if err := w.close(nil); err != nil {
				return err
			}
			if w, err = r.begin(i, h.first); err != nil {
				return err
			}
		}
		r.seal(&h, w, publisher, payload)
		r.passHead(h.behind())
		w.buf = appendRecord(w.buf, &h, publisher, payload)
		if len(w.buf) < rewriteBufferBytes {
			return nil
		}
		return w.flush()
	})
	if w == nil {
		return err
	}
	return w.close(err)
}

// seal gives a new record its place in segment and chain.
func (r *rewriter) seal(h *header, w *segmentWriter, publisher, payload []byte) {
	h.salt, h.synced = w.salt, uint64(w.end()) // all before it is durable before anybody reads it
	h.bodyCRC = crc32.Update(crc32.Checksum(publisher, castagnoli()), castagnoli(), payload)
	h.chain = h.link(&r.chain, r.sum.digest(h, publisher, payload))
	r.chain = h.chain
}

// appendRecord appends a whole record to b.
func appendRecord(b []byte, h *header, publisher, payload []byte) []byte {
	at := len(b)
	b = append(b, make([]byte, recordHeaderBytes)...)
	h.put(b[at:])
	b = append(append(b, publisher...), payload...)
	for range h.size() - int64(h.length) - recordTrailerBytes {
		b = append(b, 0)
	}
	return binary.LittleEndian.AppendUint32(b, h.trailer())
}

// passHead notes the new chain value at the place that the head file knows.
func (r *rewriter) passHead(next Offset) {
	if r.haveHead && !r.put && next == r.head.next && r.oldChain == r.head.chain {
		r.head.chain, r.put = r.chain, true
	}
}

// check reads the new segments as they lie on the disk and compares them with the old
// ones: each record the same but for how it is packed, none more or less, and a chain
// without a break.
func (r *rewriter) check(ctx context.Context) error {
	if err := r.carryOn(ctx); err != nil {
		return err
	}
	return r.each(ctx, "check", func(i int, records func(func(*scanned) error) error) error {
		c := checker{r: r, old: &r.found.segs[i], made: r.made[i], sum: newHasher()}
		err := c.enter()
		if err == nil {
			err = records(c.same)
		}
		if err == nil {
			err = c.leave()
		}
		if err == nil && len(c.made) > 0 {
			err = errRewritten("a segment that nothing belongs in")
		}
		if c.file != nil {
			err = errors.Join(err, c.file.Close())
		}
		return err
	})
}

// errRewritten says that what was written cannot be what should have been.
func errRewritten(reason string) error {
	return fmt.Errorf("the new segment differs from the old one, nothing was changed: %s", reason)
}

// checker compares the new segments of an old one with it.
type checker struct {
	r    *rewriter
	old  *laid
	made []Offset // new segments that come
	sum  *hasher

	file    vfs.File
	scan    scanner
	was, is stream.Entry
}

// enter opens the next new segment and checks its header.
func (c *checker) enter() (err error) {
	first := c.made[0]
	c.made = c.made[1:]
	if c.file, err = c.r.fs.Open(filepath.Join(c.r.o.Dir, rewriteDir, segmentName(first))); err != nil {
		return err
	}
	size, err := c.file.Size()
	if err != nil {
		return err
	}
	h, reason, err := readSegmentHeader(c.file, size)
	switch {
	case err != nil:
		return err
	case reason != "" || h.first != first || h.prev != c.r.chain || h.version != uint32(c.r.o.Format) || h.created != c.old.header.created:
		return errRewritten("header " + reason)
	}
	c.r.chain = h.chain()
	c.scan = scanner{file: c.file, version: h.version, salt: h.salt, first: h.first, pos: segmentHeaderBytes, limit: size}
	return nil
}

// leave checks that the new segment ends here, and closes it.
func (c *checker) leave() error {
	var rec scanned
	what, err := c.scan.next(&rec)
	if err == nil && (what != foundEnd || c.scan.pos != c.scan.limit) {
		err = errRewritten("more than there was: " + rec.reason)
	}
	if err != nil {
		return err
	}
	file := c.file
	c.file = nil
	return file.Close()
}

// same compares the next new record with an old one.
func (c *checker) same(old *scanned) error {
	wasPublisher := fill(&c.was, old)
	before, err := c.was.Fields()
	if err == nil && c.was.Codec != codec.None && len(before) < c.was.Count {
		err = codec.ErrCorrupt
	}
	switch {
	case err == nil:
	case c.r.o.Format == 1:
		c.r.plan.BadPlaces++ // no new record was made of it
		return nil
	default:
		before = c.was.Payload // it was taken over as it is
	}
	if len(c.made) > 0 && c.made[0] == old.header.first && c.scan.pos == c.scan.limit {
		if err := errors.Join(c.leave(), c.enter()); err != nil {
			return err
		}
	}
	var rec scanned
	what, readErr := c.scan.next(&rec)
	switch {
	case readErr != nil:
		return readErr
	case what != foundRecord:
		return errRewritten(fmt.Sprintf("the record of offset %d: %s", old.header.first, rec.reason))
	}
	isPublisher := fill(&c.is, &rec)
	after := c.is.Payload
	if err == nil {
		if after, readErr = c.is.Fields(); readErr != nil {
			return errRewritten(readErr.Error())
		}
	}
	switch {
	case !sameHeader(rec.header, old.header) || !bytes.Equal(wasPublisher, isPublisher) || !bytes.Equal(before, after):
		return errRewritten(fmt.Sprintf("the record of offset %d is another", old.header.first))
	case !rec.header.follows(&c.r.chain, c.sum, rec.bytes):
		return errRewritten(fmt.Sprintf("the record of offset %d breaks the hash chain", old.header.first))
	}
	c.r.chain = rec.header.chain
	return nil
}

// sameHeader compares what a new record has in common with the old one.
func sameHeader(h, old header) bool {
	h.length, h.salt, h.synced, h.bodyCRC, h.chain, h.codec = old.length, old.salt, old.synced, old.bodyCRC, old.chain, old.codec
	return h == old
}
