package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
)

// ErrRewriting says that the segments of a log are being exchanged for others, or that
// this was interrupted.
var ErrRewriting = errors.New("its segments are being exchanged, or that was interrupted: stop the hub and run amoskys wal rewrite again with the --format that it was given, which finishes it")

// RewriteOptions say how a log is written anew. Dir and Format are required.
type RewriteOptions struct {
	Dir    string
	FS     vfs.FS // the operating system's
	Format int    // the segments' version: 1 unpacks all records, 2 packs them

	// RemoveOld has the segments that were replaced removed, also those of an earlier
	// Rewrite. Without it they stay in the folder "replaced" of the log's. Where some of
	// them could not be read in full they stay in any case, also from a later Rewrite.
	RemoveOld bool
	// Agree is asked before anything is written, and never when nothing has to be. Its
	// error ends Rewrite.
	Agree func(*RewritePlan) error
	// Progress is told the bytes of old segments that were passed, and their total, once
	// for each of the steps "measure", "write" and "check".
	Progress func(step string, done, total int64)
}

// RewritePlan is what Rewrite is about to do, and afterwards what it did.
type RewritePlan struct {
	Finished bool // an earlier Rewrite was interrupted, and has been finished first
	Segments int  // to write; 0 when all are of the format already
	Kept     int  // older ones, which are of the format already
	Records  int
	Events   uint64
	OldBytes int64 // of the segments that are replaced
	NewBytes int64 // of those that take their place
	Free     int64 // bytes of the disk before
	// BadPlaces are those in the old segments, and records whose events do not unpack.
	// What they held is missing in the new ones as it was in the old.
	BadPlaces int
	Replaced  string // where the old segments are, empty when they were removed
}

// Rewrite writes the log in dir, which nobody has open, in segments of another format.
// Events, offsets, times, publishers, producers and their numbers, checkpoints, cursors
// and losses on record stay as they are; the hash chain is made anew from the first
// segment that changes. New segments lie in a folder of their own until all of them are
// durable and have been compared with the old ones, record by record and along the chain:
//
//	interrupted while it                  the log is                      the next Rewrite
//	writes and compares                   as it was                       begins again
//	exchanges the segments                refused by every build that     finishes the exchange
//	                                      refuses newer segments, since
//	                                      the guard is no segment that
//	                                      any knows (ErrRewriting)
//	has exchanged them, the guard is gone the new one                     has nothing to do
//
// A log that was killed and has damage in its last segment must have been opened first:
// that decides where it goes on, above all that may have been given out.
//
// While another process has the log the error is a *vfs.LockedError; with too little
// room on the disk it is ErrDiskFull and names the bytes.
func Rewrite(ctx context.Context, o RewriteOptions) (plan RewritePlan, err error) {
	if o.Format < 1 || o.Format > segmentVersion {
		return plan, fmt.Errorf("rewrite log %s: there is no format %d, 1 to %d can be written", o.Dir, o.Format, segmentVersion)
	}
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	if o.Agree == nil {
		o.Agree = func(*RewritePlan) error { return nil }
	}
	r := rewriter{o: o, fs: o.FS, sum: newHasher()}
	if err := r.locked(ctx); err != nil {
		return r.plan, fmt.Errorf("rewrite log %s: %w", o.Dir, err)
	}
	return r.plan, nil
}

// rewriter is the state of one Rewrite.
type rewriter struct {
	o    RewriteOptions
	fs   vfs.FS
	plan RewritePlan
	sum  *hasher

	found survey
	from  int // the first segment that changes
	total int64

	head     head
	haveHead bool
	chain    [chainBytes]byte // of the last new record
	oldChain [chainBytes]byte // of the last old one
	put      bool             // head.chain is that of a new record already
	made     map[int][]Offset // where the new segments begin that take the place of an old one

	packed []byte // reused
}

// locked does all under the log's lock.
func (r *rewriter) locked(ctx context.Context) (err error) {
	var lock io.Closer
	if lock, err = Lock(r.fs, r.o.Dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if r.plan.Finished, err = r.finish(); err != nil {
		return fmt.Errorf("finish what was interrupted: %w", err)
	}
	if err := r.survey(ctx); err != nil {
		return err
	}
	if r.plan.Segments > 0 {
		if err := r.replace(ctx); err != nil {
			return err
		}
	}
	kept, why, err := r.replaced()
	switch {
	case err != nil:
		return err
	case r.o.RemoveOld && why == nil:
		return r.clearFolder(replacedDir)
	case len(kept) > 0:
		r.plan.Replaced = filepath.Join(r.o.Dir, replacedDir)
	}
	return nil
}

// survey finds out what there is to do. The chain runs through all segments, so those
// behind one that changes change too.
func (r *rewriter) survey(ctx context.Context) (err error) {
	if err := r.clearFolder(rewriteDir); err != nil {
		return err
	}
	if r.found, err = look(ctx, r.fs, r.o.Dir); err != nil {
		return err
	}
	segs := r.found.segs
	for r.from < len(segs) && segs[r.from].header.version == uint32(r.o.Format) {
		r.from++
	}
	r.plan.Kept, r.plan.Segments = r.from, len(segs)-r.from
	for _, s := range segs[r.from:] {
		r.plan.OldBytes += s.size
	}
	r.total = r.plan.OldBytes
	r.head, _, err = readHead(r.fs, r.o.Dir)
	r.haveHead = err == nil
	if errors.Is(err, errNoHead) {
		err = nil
	}
	return err
}

// replace writes new segments, compares them with the old ones and exchanges them.
func (r *rewriter) replace(ctx context.Context) error {
	kept, why, err := r.replaced()
	switch {
	case err != nil:
		return err
	case why != nil:
		return fmt.Errorf("%s holds what an earlier rewrite replaced: %w; remove it when nobody needs it any more", filepath.Join(r.o.Dir, replacedDir), why)
	case len(kept) > 0 && !r.o.RemoveOld:
		return fmt.Errorf("%s holds what an earlier rewrite replaced: remove it, or have it removed (--remove-old)", filepath.Join(r.o.Dir, replacedDir))
	}
	if err := r.measure(ctx); err != nil {
		return err
	}
	if err := r.fits(); err != nil && len(kept) == 0 {
		return err
	}
	if err := r.o.Agree(&r.plan); err != nil {
		return err
	}
	if len(kept) > 0 {
		if err := errors.Join(r.clearFolder(replacedDir), r.fits()); err != nil {
			return err
		}
	}
	err = r.write(ctx)
	if err == nil {
		err = r.check(ctx)
	}
	if err != nil {
		return errors.Join(err, r.clearFolder(rewriteDir))
	}
	return r.exchange()
}

// spareBytes is what is left free for the names of files.
const spareBytes = 1 << 20

// fits refuses to begin what the disk has no room for.
func (r *rewriter) fits() error {
	free, err := r.fs.FreeBytes(r.o.Dir)
	if err != nil {
		return nil //nolint:nilerr // who cannot ask finds out by writing, which harms nothing
	}
	if r.plan.Free = int64(min(free, 1<<62)); r.plan.Free < r.plan.NewBytes+spareBytes {
		return fmt.Errorf("%w: the new segments take %d bytes beside the old ones, %d are free", ErrDiskFull, r.plan.NewBytes+spareBytes, r.plan.Free)
	}
	return nil
}

// errNotSettled says that only opening the log knows what may have been lost at its end.
var errNotSettled = errors.New("it was not closed in order and its last segment is damaged: start the hub, " +
	"which puts on record what is lost, stop it, and rewrite the log then")

// measure reads the old segments and adds up what the new ones take.
func (r *rewriter) measure(ctx context.Context) error {
	return r.each(ctx, "measure", func(i int, records func(func(*scanned) error) error) error {
		r.plan.NewBytes += segmentHeaderBytes
		bad, last := r.plan.BadPlaces, i == len(r.found.segs)-1
		err := records(func(rec *scanned) error {
			var h header
			if _, _, err := r.remake(&h, rec); err != nil {
				r.plan.BadPlaces++
				return nil //nolint:nilerr // it is counted
			}
			r.plan.NewBytes += h.size()
			r.plan.Records++
			r.plan.Events += uint64(h.count)
			return nil
		})
		if damaged := r.plan.BadPlaces > bad || r.found.segs[i].reason != ""; err == nil && last && damaged && !r.head.note.closed {
			err = errNotSettled
		}
		return err
	})
}

// each hands the old segments that change to f, one after the other, with a function
// that walks through the sound records of it. Bad places are counted in the first step.
func (r *rewriter) each(ctx context.Context, what string, f func(i int, records func(func(*scanned) error) error) error) error {
	r.plan.BadPlaces = 0
	done := int64(0)
	for i := r.from; i < len(r.found.segs); i++ {
		seg := &r.found.segs[i]
		err := openWalk(r.fs, r.o.Dir, &r.found, i, func(w *walk) error {
			w.known = r.head.next
			return f(i, func(yield func(*scanned) error) error { return r.records(ctx, w, what, done, yield) })
		})
		if err != nil {
			return fmt.Errorf("segment %s: %w", seg.name, err)
		}
		done += seg.size
		r.o.Progress(what, done, r.total)
	}
	return nil
}

// records walks through one old segment.
func (r *rewriter) records(ctx context.Context, w *walk, what string, done int64, yield func(*scanned) error) error {
	told := int64(0)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var s step
		if err := w.step(&s); err != nil {
			return err
		}
		switch s.kind {
		case stepEnd, stepTorn:
			return nil
		case stepHole:
			if !s.hole.absent { // else there is nothing that the old segment has and the new one has not
				r.plan.BadPlaces++
			}
		case stepRecord:
			if err := yield(&s.rec); err != nil {
				return err
			}
			if s.rec.pos-told > 1<<20 {
				told = s.rec.pos
				r.o.Progress(what, done+told, r.total)
			}
		}
	}
}

// remake makes the header of a new record of an old one, without salt, place and chain,
// and returns its publisher and payload, which are valid until the next call. The error
// is that of a codec: the events of the old one cannot be had.
func (r *rewriter) remake(h *header, rec *scanned) (publisher, payload []byte, err error) {
	*h = rec.header
	h.synced, h.bodyCRC, h.chain = 0, 0, [chainBytes]byte{}
	publisher, payload = rec.header.body(rec.bytes)
	size := len(payload)
	switch {
	case h.kind != KindEvents:
	case r.o.Format == 1 && h.codec != codec.None:
		if size, err = unpackedSize(h.codec, h.count, payload); err != nil {
			return nil, nil, err
		}
		if payload, err = h.codec.Unpack(r.packed[:0], payload, size); err != nil {
			return nil, nil, err
		}
		r.packed, h.codec = payload, codec.None
	case r.o.Format > 1 && h.codec == codec.None:
		if size > stream.MaxUnpackedBytes {
			break
		}
		if r.packed = codec.S2.Pack(r.packed[:0], payload); len(r.packed) < size {
			payload, size, h.codec = r.packed, len(r.packed), codec.S2
		}
	}
	h.length = uint32(recordHeaderBytes + len(publisher) + size)
	return publisher, payload, nil
}
