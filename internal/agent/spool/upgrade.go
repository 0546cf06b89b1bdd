package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/agent/spool/legacy"
	"github.com/amoskys/amoskys/internal/codec"
)

// upgradedName is the file, in the new folder, that lists the files of an older build's
// spool which were taken over and have to go.
const upgradedName = "upgraded"

// upgrade takes over the spool of a build that did not pack batches, whose files lie in
// Options.Dir itself:
//
//	the folder       the older build's files    then
//	is not there     are                        they are packed into a new folder under their numbers
//	is there         are listed in it           they were: they go
//	is there         are not                    somebody went back to the older build for a while:
//	                                            rest, whose events come in as new ones
//
// The new folder is whole before it gets its name, so a crash leaves the one or the other.
func (s *Spool) upgrade() (rest []legacy.File, err error) {
	if err := s.removeUpgraded(); err != nil {
		return nil, err
	}
	files, err := legacy.Find(s.o.Dir)
	if err != nil || len(files) == 0 {
		return nil, err
	}
	if _, err := os.Stat(s.home()); err == nil {
		return files, nil
	}
	if err := s.convert(files); err != nil {
		return nil, fmt.Errorf("take over the spool of an older build: %w", err)
	}
	return nil, s.removeUpgraded()
}

// removeUpgraded deletes the files that were taken over.
func (s *Spool) removeUpgraded() error {
	name := filepath.Join(s.home(), upgradedName)
	list, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for line := range strings.Lines(string(list)) {
		size, file, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		old := filepath.Join(s.o.Dir, filepath.Base(file))
		info, statErr := os.Lstat(old)
		if statErr != nil || strconv.FormatInt(info.Size(), 10) != size {
			continue // gone, or written to since
		}
		err = errors.Join(err, os.Remove(old))
	}
	if err = errors.Join(err, syncDir(s.o.Dir)); err == nil {
		err = os.Remove(name)
	}
	if err != nil {
		return fmt.Errorf("remove the spool of an older build: %w", err)
	}
	return nil
}

// convert makes the new folder from the older build's files.
func (s *Spool) convert(files []legacy.File) error {
	dir := s.home() + ".new"
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	w := converter{s: s, dir: dir}
	old, err := legacy.Read(s.o.Dir, files, s.o.BootID, w.add)
	if err == nil {
		err = w.finish(old)
	}
	if err = errors.Join(err, w.close()); err != nil {
		return err
	}
	if err := errors.Join(s.setAside(old), syncDir(dir)); err != nil {
		return err
	}
	if err := os.Rename(dir, s.home()); err != nil {
		return err
	}
	s.note(old)
	s.log.Info("spool of an older build taken over", "events", w.events)
	return syncDir(s.o.Dir)
}

// note counts what damage has cost the older build's spool.
func (s *Spool) note(old *legacy.Spool) {
	s.stats.DamagedEvents += uint64(old.Lost)
	s.stats.DamagedBytes += old.DamagedBytes
	s.stats.AtLeast = s.stats.AtLeast || old.AtLeast
	if old.Lost > 0 || old.AtLeast || old.DamagedBytes > 0 {
		s.log.Warn("spool of an older build was damaged", "events_lost", old.Lost, "at_least", old.AtLeast, "bytes", old.DamagedBytes)
	}
}

// setAside keeps what could not be read.
func (s *Spool) setAside(old *legacy.Spool) error {
	errs := make([]error, 0, len(old.Unreadable))
	for _, name := range old.Unreadable {
		s.log.Warn("unreadable spool segment set aside", "path", name, "kept_as", s.bad())
		errs = append(errs, os.Rename(filepath.Join(s.o.Dir, name), s.bad()))
	}
	return errors.Join(errs...)
}

// converter writes batches of an older build into segments of a new folder.
type converter struct {
	s       *Spool
	dir     string
	f       file
	header  segmentHeader
	size    int64 // of f
	extra   [][]byte
	events  int
	ordinal uint64
	buf     []byte
}

// add writes one batch under its number.
func (w *converter) add(b legacy.Batch) error {
	size := 0
	for _, e := range b.Events {
		size += fieldBytes(e)
	}
	if size > maxFieldBytes { // seals were lost: it is several, of which none is known
		for _, e := range b.Events {
			w.extra = append(w.extra, append([]byte(nil), e...))
		}
		return nil
	}
	return w.write(b.Producer, b.Sequence, b.Events)
}

func (w *converter) write(producer [16]byte, seq uint64, events [][]byte) error {
	if w.f == nil || w.header.producer != producer || w.size >= w.s.o.segmentBytes() {
		if err := w.segment(producer, seq); err != nil {
			return err
		}
	}
	var fields []byte
	for _, e := range events {
		fields = codec.AppendEvent(fields, e)
	}
	w.buf = packFrame(w.buf[:0], seq, len(events), fields)
	if _, err := w.f.WriteAt(w.buf, w.size); err != nil {
		return err
	}
	w.size += int64(len(w.buf))
	w.events += len(events)
	return nil
}

// segment starts the next one.
func (w *converter) segment(producer [16]byte, first uint64) error {
	if err := w.close(); err != nil {
		return err
	}
	w.ordinal++
	w.header = segmentHeader{producer: producer, ordinal: w.ordinal, first: first}
	f, err := w.s.o.openFile(segmentName(w.dir, w.ordinal), os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	w.f, w.size = f, headerBytes
	_, err = f.WriteAt(w.header.encode(), 0)
	return err
}

func (w *converter) close() error {
	if w.f == nil {
		return nil
	}
	f := w.f
	w.f = nil
	return errors.Join(f.Sync(), f.Close())
}

// finish writes what has no number yet under a new producer id, and then the other
// files. Where the older numbers cannot go on, the producer file does not name the
// running system, so that recovery makes a new id.
func (w *converter) finish(old *legacy.Spool) error {
	id, seq := newProducer(), old.Highest
	for rest := append(w.extra, old.Loose...); len(rest) > 0; {
		n, size := 0, 0
		for n < len(rest) && n < w.s.o.Events && (n == 0 || size+fieldBytes(rest[n]) <= w.s.o.Bytes) {
			size += fieldBytes(rest[n])
			n++
		}
		seq++
		if err := w.write(id, seq, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	if w.f == nil { // there is a segment wherever there is a spool
		if err := w.segment(old.Producer, old.Highest+1); err != nil {
			return err
		}
	}
	var list strings.Builder
	for _, f := range old.Files {
		fmt.Fprintf(&list, "%d %s\n", f.Size, f.Name)
	}
	for name, content := range map[string][]byte{
		"producer":   encodeProducer(old.Producer, old.Sure, ""),
		"cursor":     cursorMark{old.Acked, w.events}.encode(),
		upgradedName: []byte(list.String()),
	} {
		if err := w.file(name, content); err != nil {
			return err
		}
	}
	return nil
}

func (w *converter) file(name string, content []byte) error {
	f, err := w.s.o.openFile(filepath.Join(w.dir, name), os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	return errors.Join(err, f.Sync(), f.Close())
}

// takeOver appends the events of an older build's spool that was written to while the
// new one waited. What was on its way then may arrive twice.
func (s *Spool) takeOver(files []legacy.File) error {
	if len(files) == 0 {
		return nil
	}
	count := 0
	add := func(events [][]byte) error {
		count += len(events)
		err := s.Append(events...)
		if errors.Is(err, ErrFull) {
			return nil // counted
		}
		return err
	}
	old, err := legacy.Read(s.o.Dir, files, s.o.BootID, func(b legacy.Batch) error { return add(b.Events) })
	if err == nil {
		err = add(old.Loose)
	}
	if err == nil {
		err = s.setAside(old)
	}
	for _, f := range files {
		if err == nil {
			if err = os.Remove(filepath.Join(s.o.Dir, f.Name)); errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		}
	}
	if err != nil {
		return fmt.Errorf("take over the spool of an older build: %w", err)
	}
	s.stats.Appended = 0 // they were counted by the process that appended them
	s.note(old)
	s.log.Info("events of an older build taken over", "events", count)
	return nil
}
