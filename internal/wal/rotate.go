package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"time"
)

// rotateIfUsed ends the active segment when it holds events.
func (l *Log) rotateIfUsed() error {
	if a := l.w.active; a != nil && a.seg.first == l.w.next {
		return nil
	}
	return l.rotate()
}

// rotate begins a new segment, ends the old one and removes what retention no
// longer allows. When the new one cannot be made the old one stays in use.
func (l *Log) rotate() error {
	old := l.w.active
	if err := l.begin(); err != nil {
		return err
	}
	if old != nil {
		l.finish(old)
	}
	if err := l.retain(); err != nil {
		l.log.Warn("log maintenance", "error", err)
	}
	return nil
}

// crampedEvery is how often a new segment is tried where none can be made.
const crampedEvery = time.Second

// rotateOrGrow begins a new segment. Where none can be made, because the file system
// has no inodes left say, the old one stays in use, if it is still there, and grows:
// events are worth more than the size of a file.
func (l *Log) rotateOrGrow() error {
	if l.w.cramped != nil && time.Since(l.w.crampedAt) < crampedEvery {
		return nil
	}
	l.w.crampedAt = time.Now()
	err := l.rotate()
	switch {
	case err == nil: // begin has said so
	case l.w.active == nil:
		return err
	default:
		l.setCramped(err)
	}
	return nil
}

// setCramped notes why no segment can be begun and the active one grows, nil when one
// was begun.
func (l *Log) setCramped(err error) {
	before := l.w.cramped
	l.w.cramped = err
	switch {
	case err != nil && before == nil:
		l.log.Warn("log cannot begin a new segment and goes on in the old one", "error", err)
	case err == nil && before != nil:
		l.log.Info("log begins new segments again")
	}
	l.noteCramped()
}

// noteCramped says in Stat that the active segment grows, while there is one that does.
func (l *Log) noteCramped() {
	var notes []string
	if err := l.w.cramped; err != nil && l.w.active != nil {
		hint := ""
		if errors.Is(err, ErrDiskFull) {
			hint = ": are there inodes left (df -i)?"
		}
		notes = []string{fmt.Sprintf("the log cannot begin a new segment and goes on in the old one (%v)%s", err, hint)}
	}
	l.statMu.Lock()
	defer l.statMu.Unlock()
	l.notes = notes
}

// finish gives a sealed segment's reserved space back and closes it. Its
// records are durable already; zeros at its end would do no harm.
func (l *Log) finish(a *active) {
	if err := errors.Join(a.file.Truncate(a.pos), a.file.Close()); err != nil {
		l.log.Warn("finish segment", "path", a.seg.name, "error", err)
	}
}

// begin makes a new segment at the next offset and makes it the active one.
// The file gets its name only once its content is durable, so that a segment
// is either whole or not there. The old active segment, if any, is sealed but
// not closed; it must hold events, as no two segments start at one offset.
func (l *Log) begin() error {
	if l.lock == nil { // the file system was read-only when the log was opened
		lock, err := l.opts.FS.Lock(filepath.Join(l.opts.Dir, lockName))
		if err != nil {
			return classify(fmt.Errorf("lock log: %w", err))
		}
		l.lock = lock
	}
	old := l.w.active
	h := segmentHeader{version: l.opts.format(l.w.next), first: l.w.next, created: l.opts.Now().UnixNano(), prev: l.w.chain, salt: newSalt()}
	if l.w.void {
		h.flags |= flagVoid
	}
	content, chain := l.segmentStart(&h)
	name := segmentName(h.first)
	path := filepath.Join(l.opts.Dir, name)

	f, err := l.opts.FS.Create(path + tempSuffix)
	if err != nil {
		return classify(fmt.Errorf("create segment %s: %w", name, err))
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		err = errors.Join(err, f.Close(), l.opts.FS.Remove(path+tempSuffix))
		return classify(fmt.Errorf("create segment %s: %w", name, err))
	}
	err = l.opts.FS.Rename(path+tempSuffix, path)
	if err == nil {
		err = l.opts.FS.SyncDir(l.opts.Dir)
	}
	if err != nil {
		// The new name may be there now, or after a crash. From here on only
		// a segment that starts at this offset may follow: give the old one
		// up, and let the next attempt take this one's place.
		if old != nil {
			old.seg.end = old.pos
			l.w.active = nil
			l.noteCramped()
			l.finish(old)
		}
		return classify(fmt.Errorf("create segment %s: %w", name, errors.Join(err, f.Close())))
	}

	seg := &segment{name: name, first: h.first, created: time.Unix(0, h.created), salt: h.salt, version: h.version}
	v := *l.view.Load()
	v.segs = slices.Clone(v.segs)
	if old != nil {
		old.seg.end = old.pos
	}
	if n := len(v.segs); n > 0 && v.segs[n-1].first == seg.first {
		v.segs[n-1] = seg // the one before got no events
	} else {
		v.segs = append(v.segs, seg)
	}
	l.w.active = &active{seg: seg, file: f, pos: int64(len(content)), alloc: int64(len(content)), prev: h.prev}
	l.w.chain, l.w.void = chain, false
	v.end = l.w.active.pos
	l.publish(v)
	l.noteHead()
	l.setCramped(nil)
	return nil
}

// segmentStart returns a segment's first bytes, the header and the checkpoint,
// and the chain value behind them.
func (l *Log) segmentStart(h *segmentHeader) ([]byte, [chainBytes]byte) {
	if l.opts.Checkpoint == nil {
		return h.encode(), h.chain()
	}
	h.flags |= flagCheckpoint
	b, chain := h.encode(), h.chain()
	payload := l.opts.Checkpoint()
	r := header{
		length: uint32(recordHeaderBytes + len(payload)), salt: h.salt, first: h.first, received: h.created,
		kind: KindCheckpoint, bodyCRC: crc32.Checksum(payload, castagnoli()),
	}
	r.chain = r.link(&chain, newHasher().digest(&r, nil, payload))
	b = append(b, make([]byte, recordHeaderBytes)...)
	r.put(b[segmentHeaderBytes:])
	b = append(b, payload...)
	b = append(b, make([]byte, r.size()-int64(r.length)-recordTrailerBytes)...)
	return binary.LittleEndian.AppendUint32(b, r.trailer()), r.chain
}

// noteHead brings the head file up to date. It only strengthens Verify, so a
// failure is no reason to refuse records; headErr keeps it for another try.
func (l *Log) noteHead() {
	v := l.view.Load()
	h := &l.w.head
	h.serial++
	h.next, h.chain = l.w.next, l.w.chain
	h.note.hasNewest = len(v.segs) > 0
	if h.note.hasNewest {
		h.note.newest = v.segs[len(v.segs)-1].first
	}
	headErr, copyErr := writeHead(l.opts.FS, l.opts.Dir, *h)
	if anotherError(headErr, l.w.headErr) {
		l.log.Warn("log cannot note how far it reaches", "error", headErr)
	}
	if anotherError(copyErr, l.w.copyErr) {
		l.log.Warn("log cannot keep the copy of its HEAD beside its folder", "error", copyErr)
	}
	l.w.headErr, l.w.copyErr = headErr, copyErr
}

// anotherError reports whether err has not been said by the try before.
func anotherError(err, before error) bool {
	return err != nil && (before == nil || before.Error() != err.Error())
}

// shutdown ends the writer: the active segment is cut to size and everything
// is closed.
func (l *Log) shutdown() error {
	var err error
	if l.lock != nil {
		l.w.head.note.closed = true
		l.noteHead()
	}
	if a := l.w.active; a != nil {
		err = errors.Join(a.file.Truncate(a.pos), a.file.Sync(), a.file.Close())
		l.w.active = nil
	}
	v := *l.view.Load()
	v.closed = true
	l.publish(v)
	if l.lock != nil {
		err = errors.Join(err, l.lock.Close())
	}
	return err
}
