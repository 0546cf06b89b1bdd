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

// addSegment starts a new last segment. The caller holds mu.
func (s *Spool) addSegment() error {
	h := segmentHeader{producer: s.producer, ordinal: s.ordinal + 1, moved: s.moving}
	name := segmentName(s.o.Dir, h.ordinal)
	f, err := s.o.openFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("start segment: %w", err)
	}
	if _, err := f.WriteAt(h.encode(), 0); err != nil {
		return errors.Join(fmt.Errorf("start segment: %w", err), f.Close(), os.Remove(name))
	}
	if s.o.Fsync {
		if err := syncDir(s.o.Dir); err != nil {
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

// cursorFile holds the highest sequence below which everything is acknowledged,
// in two slots written in turn, so that a torn write leaves the other.
type cursorFile struct {
	f    file
	slot int64
}

const slotBytes = 16

func openCursor(name string, open func(string, int) (file, error)) (c *cursorFile, seq uint64, ok bool, err error) {
	f, err := open(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, 0, false, fmt.Errorf("open cursor: %w", err)
	}
	c = &cursorFile{f: f}
	b := make([]byte, 2*slotBytes)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, false, errors.Join(fmt.Errorf("read cursor: %w", err), f.Close())
	}
	for i := 0; (i+1)*slotBytes <= n; i++ {
		slot := b[i*slotBytes : (i+1)*slotBytes]
		if binary.LittleEndian.Uint32(slot[12:]) != checksum(slot[:12]) {
			continue
		}
		if v := binary.LittleEndian.Uint64(slot); !ok || v >= seq {
			seq, ok, c.slot = v, true, int64(1-i)
		}
	}
	return c, seq, ok, nil
}

func (c *cursorFile) save(seq uint64) error {
	b := make([]byte, slotBytes)
	binary.LittleEndian.PutUint64(b, seq)
	binary.LittleEndian.PutUint32(b[12:], checksum(b[:12]))
	if _, err := c.f.WriteAt(b, c.slot*slotBytes); err != nil {
		return fmt.Errorf("save cursor: %w", err)
	}
	c.slot = 1 - c.slot
	return nil
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
	b, err := os.ReadFile(filepath.Join(s.o.Dir, "producer"))
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

// saveProducer replaces the producer file durably.
func (s *Spool) saveProducer(clean bool) error {
	b := make([]byte, producerBytes)
	copy(b, producerMagic)
	copy(b[8:], s.producer[:])
	if clean {
		b[24] = 1
	}
	boot := s.o.BootID[:min(len(s.o.BootID), 64)]
	b[25] = byte(len(boot))
	copy(b[26:], boot)
	end := producerBytes - 4
	binary.LittleEndian.PutUint32(b[end:], checksum(b[:end]))

	name := filepath.Join(s.o.Dir, "producer")
	f, err := s.o.openFile(name+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("save producer: %w", err)
	}
	_, err = f.WriteAt(b, 0)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(name+".new", name)
	}
	if err == nil {
		err = syncDir(s.o.Dir)
	}
	if err != nil {
		return fmt.Errorf("save producer: %w", err)
	}
	return nil
}

func newProducer() (id [16]byte) {
	_, _ = rand.Read(id[:]) // crypto/rand.Read never fails
	return id
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
