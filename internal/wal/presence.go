package wal

import (
	"context"
	"errors"
	"fmt"

	"github.com/amoskys/amoskys/internal/vfs"
)

// present makes sure, before anybody is told that what lies up to end is durable, that
// the active segment's name still leads to its file: what is written to a file without a
// name is gone when the program ends. A file that was removed, moved or replaced is
// written again from the open one, and nothing is lost. When that fails the segment is
// given up, its events are on record as lost, and the group goes to a new one.
func (l *Log) present(end int64) error {
	a := l.w.active
	named, err := a.file.Named(a.seg.path(l.opts.Dir))
	if named || err != nil { // who cannot ask knows nothing
		return nil //nolint:nilerr // the disk that cannot say cannot be asked again either
	}
	l.log.Error("log's active segment was taken away, it is written again", "path", a.seg.name)
	if err := l.restore(a, end); err != nil {
		l.log.Error("log cannot write its active segment again", "path", a.seg.name, "error", err)
		l.giveUpLost()
		return fmt.Errorf("%w: segment %s was taken away: %w", ErrFailed, a.seg.name, err)
	}
	return nil
}

// keepPresent is present while nobody writes.
func (l *Log) keepPresent() {
	if l.w.active == nil {
		return
	}
	l.keepWhole()
	if l.w.active != nil {
		_ = l.present(l.w.active.pos) // it has logged why
	}
}

// restore writes the active segment's file again, up to end, from what is open.
func (l *Log) restore(a *active, end int64) error {
	path := a.seg.path(l.opts.Dir)
	if err := l.opts.FS.MkdirAll(l.opts.Dir, 0o700); err != nil {
		return err
	}
	if _, err := l.opts.FS.Stat(path); err == nil && l.quarantineMove(a.seg.name) == "" {
		return errors.New("another file has its name and cannot be moved away")
	}
	f, err := l.opts.FS.Create(path + tempSuffix)
	if err != nil {
		return err
	}
	err = copyTo(f, a.file, end)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(err, f.Close(), l.opts.FS.Remove(path+tempSuffix))
	}
	err = l.opts.FS.Rename(path+tempSuffix, path)
	if err == nil {
		err = l.opts.FS.SyncDir(l.opts.Dir)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	// Readers that have the old file open go over to the new one where it ends.
	seg := &segment{name: a.seg.name, first: a.seg.first, created: a.seg.created, salt: a.seg.salt, version: a.seg.version}
	a.seg.mu.Lock()
	seg.index = append(seg.index, a.seg.index...)
	a.seg.mu.Unlock()
	old := a.file
	a.seg.end = a.pos
	a.seg, a.file, a.alloc = seg, f, end
	v := *l.view.Load()
	v.segs = append(append([]*segment(nil), v.segs[:len(v.segs)-1]...), seg)
	l.publish(v)
	l.noteHead()
	if err := old.Close(); err != nil {
		l.log.Warn("close segment", "path", seg.name, "error", err)
	}
	return nil
}

// giveUpLost takes the active segment out of the log and puts its events on record as
// lost.
func (l *Log) giveUpLost() {
	a := l.w.active
	first, next := a.seg.first, l.w.next
	l.abandon()
	v := *l.view.Load()
	v.segs = append([]*segment(nil), v.segs[:len(v.segs)-1]...)
	v.end = 0
	if n := len(v.segs); n > 0 {
		v.end = v.segs[n-1].end
	}
	l.publish(v)
	if first < next {
		l.lost(first, next, false, lostInUse)
	}
	l.noteHead()
}

// keepWhole gives the active segment up when somebody has cut it: writing on would
// leave a hole in it. What is missing then is on record as lost.
func (l *Log) keepWhole() {
	a := l.w.active
	size, err := a.file.Size()
	if err != nil || size >= a.pos {
		return
	}
	l.log.Error("log's active segment was cut, writing goes on in a new one", "path", a.seg.name, "bytes", size, "position", a.pos)
	w := newWalk(a.file, a.seg.version, a.seg.salt, a.seg.first, size, l.w.next)
	from := a.seg.first
	if h, reason, err := readSegmentHeader(a.file, size); err == nil && reason == "" && h.salt == a.seg.salt {
		holes, err := w.holes(context.Background())
		if n := len(holes); err == nil && n > 0 {
			from = holes[n-1].from
		}
	}
	next := l.w.next
	if from == a.seg.first {
		l.giveUpLost() // no event of it is left
		return
	}
	l.abandon()
	a.seg.end = size
	v := *l.view.Load()
	v.end = size
	l.publish(v)
	l.lost(from, next, false, lostInUse)
	l.noteHead()
}

// noticeGone takes segments whose files are no longer there out of the log, so that
// readers are told, and puts their events on record as lost.
func (l *Log) noticeGone() {
	entries, err := l.opts.FS.ReadDir(l.opts.Dir)
	if err != nil && !vfs.IsNotExist(err) {
		return
	}
	there := map[string]bool{}
	for _, e := range entries {
		there[e.Name()] = true
	}
	v := *l.view.Load()
	var kept []*segment
	for i, s := range v.segs {
		if there[s.name] || i == len(v.segs)-1 {
			kept = append(kept, s)
			continue
		}
		l.lost(s.first, v.segs[i+1].first, false, lostInUse)
	}
	if len(kept) < len(v.segs) {
		v.segs = kept
		l.publish(v)
		l.noteHead()
	}
}

// copyTo copies the first n bytes of src.
func copyTo(dst, src vfs.File, n int64) error {
	buf := make([]byte, min(n, 1<<20))
	for at := int64(0); at < n; {
		got, err := src.ReadAt(buf[:min(int64(len(buf)), n-at)], at)
		if err = ignoreEOF(err); err == nil && got == 0 {
			return fmt.Errorf("the file ends at byte %d", at)
		}
		if err != nil {
			return err
		}
		if _, err := dst.WriteAt(buf[:got], at); err != nil {
			return err
		}
		at += int64(got)
	}
	return nil
}
