package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/amoskys/amoskys/internal/vfs"
)

// file is what the spool needs of an open file; tests put faults behind it.
type file interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

func openOSFile(name string, flag int) (file, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// home is the folder of all files but the lock. Builds before batches were packed have
// theirs above it and do not look in here.
func (s *Spool) home() string { return filepath.Join(s.o.Dir, homeName) }

const homeName = "packed"

// segment is one file of the spool.
type segment struct {
	segmentHeader
	name    string
	f       file
	size    int64 // end of the last whole frame
	waiting int   // sealed batches in it that are not acknowledged
}

func segmentName(dir string, ordinal uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x.spool", ordinal))
}

// addSegment starts a new last segment, for batches from first on. The caller holds mu.
func (s *Spool) addSegment(first uint64) error {
	h := segmentHeader{producer: s.producer, ordinal: s.ordinal + 1, first: first}
	name := segmentName(s.home(), h.ordinal)
	f, err := s.o.openFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("start segment: %w", err)
	}
	if _, err := f.WriteAt(h.encode(), 0); err != nil {
		return errors.Join(fmt.Errorf("start segment: %w", err), f.Close(), os.Remove(name))
	}
	if s.o.Fsync {
		if err := syncDir(s.home()); err != nil {
			return errors.Join(fmt.Errorf("start segment: %w", err), f.Close(), os.Remove(name))
		}
	}
	s.ordinal = h.ordinal
	s.segments = append(s.segments, &segment{segmentHeader: h, name: name, f: f, size: headerBytes})
	return nil
}

// removeSegment deletes segment i. The caller holds mu and has dealt with its batches.
func (s *Spool) removeSegment(i int) {
	seg := s.segments[i]
	s.segments = append(s.segments[:i], s.segments[i+1:]...)
	if err := errors.Join(seg.f.Close(), os.Remove(seg.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("spool segment not removed", "path", seg.name, "error", err)
	}
}

// cursorFile holds the highest sequence below which everything is acknowledged, and
// how many events are on disk beyond it, in two slots written in turn, so that a torn
// write leaves the other.
type cursorFile struct {
	f    file
	slot int64
	mark cursorMark
}

// cursorMark is what one slot says.
type cursorMark struct {
	seq uint64
	// held is how many events beyond seq are on disk, by which the next process knows
	// what damage cost; -1 when that is not known.
	held int
}

const slotBytes = 16

func openCursor(name string, open func(string, int) (file, error)) (c *cursorFile, ok bool, err error) {
	f, err := open(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, false, fmt.Errorf("open cursor: %w", err)
	}
	c = &cursorFile{f: f, mark: cursorMark{held: -1}}
	b := make([]byte, 2*slotBytes)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, errors.Join(fmt.Errorf("read cursor: %w", err), f.Close())
	}
	for i := 0; (i+1)*slotBytes <= n; i++ {
		slot := b[i*slotBytes : (i+1)*slotBytes]
		if binary.LittleEndian.Uint32(slot[12:]) != checksum(slot[:12]) {
			continue
		}
		m := cursorMark{binary.LittleEndian.Uint64(slot), int(binary.LittleEndian.Uint32(slot[8:])) - 1}
		if !ok || m.seq >= c.mark.seq {
			c.mark, ok, c.slot = m, true, int64(1-i)
		}
	}
	return c, ok, nil
}

// save writes a mark: over the last one when its sequence is the same, so that the
// higher sequence is always the newer. In the file, held is one more: 0 says that it
// is not known.
func (c *cursorFile) save(m cursorMark) error {
	slot := c.slot
	if m.seq == c.mark.seq {
		slot = 1 - slot
	}
	if _, err := c.f.WriteAt(m.encode(), slot*slotBytes); err != nil {
		return fmt.Errorf("save cursor: %w", err)
	}
	c.slot, c.mark = 1-slot, m
	return nil
}

func (m cursorMark) encode() []byte {
	b := make([]byte, slotBytes)
	binary.LittleEndian.PutUint64(b, m.seq)
	binary.LittleEndian.PutUint32(b[8:], uint32(m.held+1))
	binary.LittleEndian.PutUint32(b[12:], checksum(b[:12]))
	return b
}

func (c *cursorFile) sync() error { return c.f.Sync() }

const (
	producerMagic = "AMSPROD\x01"
	producerBytes = 8 + 16 + 1 + 1 + 64 + 4
)

// loadProducer reads the producer file. ok is false when it is missing or
// damaged; safe says that no number it gave out can have been forgotten: it was
// closed in order, or the system has not restarted since.
func (s *Spool) loadProducer() (id [16]byte, safe, ok bool, err error) {
	b, err := os.ReadFile(filepath.Join(s.home(), "producer"))
	if errors.Is(err, fs.ErrNotExist) {
		return id, false, false, nil
	}
	if err != nil {
		return id, false, false, fmt.Errorf("read producer: %w", err)
	}
	end := producerBytes - 4
	if len(b) != producerBytes || string(b[:8]) != producerMagic ||
		binary.LittleEndian.Uint32(b[end:]) != checksum(b[:end]) {
		return id, false, false, nil
	}
	copy(id[:], b[8:])
	clean, n := b[24] == 1, min(int(b[25]), 64)
	boot := string(b[26 : 26+n])
	return id, clean || boot != "" && boot == s.o.BootID, true, nil
}

// saveProducer replaces the producer file durably. On a full disk, which has no room for
// another, it is written in place: what a crash tears then is a damaged file, and those
// are made anew with another id.
func (s *Spool) saveProducer(clean bool) error {
	name := filepath.Join(s.home(), "producer")
	err := s.writeProducer(name+".new", os.O_CREATE|os.O_TRUNC, clean)
	if err == nil {
		err = os.Rename(name+".new", name)
	} else if s.writeProducer(name, 0, clean) == nil {
		_ = os.Remove(name + ".new") // it holds nothing
		err = nil
	}
	if err == nil {
		err = syncDir(s.home())
	}
	if err != nil {
		return fmt.Errorf("save producer: %w", err)
	}
	return nil
}

func (s *Spool) writeProducer(name string, flag int, clean bool) error {
	f, err := s.o.openFile(name, os.O_RDWR|flag)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(encodeProducer(s.producer, clean, s.o.BootID), 0)
	return errors.Join(err, f.Sync(), f.Close())
}

func encodeProducer(id [16]byte, clean bool, boot string) []byte {
	b := make([]byte, producerBytes)
	copy(b, producerMagic)
	copy(b[8:], id[:])
	if clean {
		b[24] = 1
	}
	boot = boot[:min(len(boot), 64)]
	b[25] = byte(len(boot))
	copy(b[26:], boot)
	end := producerBytes - 4
	binary.LittleEndian.PutUint32(b[end:], checksum(b[:end]))
	return b
}

func newProducer() (id [16]byte) {
	_, _ = rand.Read(id[:]) // crypto/rand.Read never fails
	return id
}

func syncDir(dir string) error { return vfs.OS{}.SyncDir(dir) }
