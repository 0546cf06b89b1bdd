package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
	"github.com/prometheus/prometheus/tsdb/wlog"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/vfs"
)

// asideFolder is where parts of the database go that cannot be used, below its folder.
// Nothing removes them but a person.
const asideFolder = "set_aside"

// metaFile says what a block is.
const metaFile = "meta.json"

// blockVersion is the one version of blocks that this program reads.
const blockVersion = 1

// errNewer says that a block was written by a newer version.
var errNewer = errors.New("a newer version wrote it")

// setBlocksAside moves blocks away that do not open, before the database would refuse to
// open because of them, or leave them out without a word.
func (db *DB) setBlocksAside(ctx context.Context) error {
	folders, err := os.ReadDir(db.o.Path)
	if err != nil {
		return fmt.Errorf("list the blocks of metrics: %w", err)
	}
	var good []tsdb.BlockMeta
	bad := map[string]error{}
	for _, f := range folders {
		if _, err := ulid.ParseStrict(f.Name()); err != nil || !f.IsDir() {
			continue
		}
		meta, err := db.readBlock(filepath.Join(db.o.Path, f.Name()))
		switch {
		case err == nil:
			good = append(good, meta)
		case isEnvironment(err):
			return fmt.Errorf("read block %s of the metrics: %w", f.Name(), err)
		default:
			bad[f.Name()] = err
		}
	}
	for name, why := range bad {
		if err := db.setBlockAside(ctx, name, why, good); err != nil {
			return err
		}
	}
	return nil
}

// readBlock looks whether a block opens, as far as the database looks when it opens it:
// the checksums of its index and its list of chunks.
func (db *DB) readBlock(dir string) (meta tsdb.BlockMeta, err error) {
	b, err := os.ReadFile(filepath.Join(dir, metaFile))
	if err != nil {
		return meta, fmt.Errorf("read what it is: %w", err)
	}
	if err := json.Unmarshal(b, &meta); err != nil {
		return meta, fmt.Errorf("read what it is: %w", err)
	}
	if meta.Version > blockVersion {
		return meta, fmt.Errorf("%w: its version is %d, and %d is known", errNewer, meta.Version, blockVersion)
	}
	if meta.ULID.String() != filepath.Base(dir) || meta.MinTime > meta.MaxTime {
		return meta, errors.New("it does not say what it is")
	}
	block, err := tsdb.OpenBlock(quiet(db.o.Logger, nil), dir, nil, nil)
	if err != nil {
		return meta, err //nolint:wrapcheck // it says what is wrong
	}
	return meta, block.Close()
}

// setBlockAside moves one block away, and notes which time is to be read again.
func (db *DB) setBlockAside(ctx context.Context, name string, why error, good []tsdb.BlockMeta) error {
	from, to := rangeOf(ctx, filepath.Join(db.o.Path, name))
	a := &Aside{From: from, To: to, Reason: "a block is damaged: " + why.Error(), State: AsideWaiting}
	if errors.Is(why, errNewer) {
		a.Reason = "a block cannot be read: " + why.Error()
	}
	id := ulid.MustParse(name)
	for i := range good {
		if slices.ContainsFunc(good[i].Compaction.Parents, func(p tsdb.BlockDesc) bool { return p.ULID == id }) {
			a.State = AsideRebuilt // it was joined with others, and was about to go
		}
	}
	return db.moveAside(ctx, a, name, []string{name})
}

// rangeOf is of which time a block is: as it says, or else as its chunks say, or else the
// week before it was made. To read too much again does no harm.
func rangeOf(ctx context.Context, dir string) (from, to time.Time) {
	var meta tsdb.BlockMeta
	if b, err := os.ReadFile(filepath.Join(dir, metaFile)); err == nil && json.Unmarshal(b, &meta) == nil && 0 < meta.MinTime && meta.MinTime < meta.MaxTime {
		return time.UnixMilli(meta.MinTime).UTC(), time.UnixMilli(meta.MaxTime).UTC()
	}
	if oldest, newest, err := rangeOfIndex(ctx, filepath.Join(dir, "index")); err == nil && oldest <= newest {
		return time.UnixMilli(oldest).UTC(), time.UnixMilli(newest + 1).UTC()
	}
	made := time.UnixMilli(int64(ulid.MustParse(filepath.Base(dir)).Time())).UTC()
	return made.Add(-blockMost), made
}

// rangeOfIndex is of which time the chunks in an index are.
func rangeOfIndex(ctx context.Context, name string) (oldest, newest int64, err error) {
	r, err := index.NewFileReader(name, index.DecodePostingsRaw)
	if err != nil {
		return 0, 0, err //nolint:wrapcheck // nobody is told
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	key, all := index.AllPostingsKey()
	series, err := r.Postings(ctx, key, all)
	if err != nil {
		return 0, 0, err //nolint:wrapcheck // nobody is told
	}
	oldest, newest = never, -never
	var builder labels.ScratchBuilder
	var list []chunks.Meta
	for series.Next() {
		if err := r.Series(series.At(), &builder, &list); err != nil {
			return 0, 0, err //nolint:wrapcheck // nobody is told
		}
		for _, c := range list {
			oldest, newest = min(oldest, c.MinTime), max(newest, c.MaxTime)
		}
	}
	return oldest, newest, series.Err()
}

// moveAside moves files of the database into a folder below asideFolder, and notes why.
func (db *DB) moveAside(ctx context.Context, a *Aside, name string, files []string) error {
	a.Time = db.o.Now().UTC()
	a.Folder = fmt.Sprintf("%s-%d", name, a.Time.Unix())
	to := filepath.Join(db.o.Path, asideFolder, a.Folder)
	err := os.MkdirAll(to, 0o700)
	for _, f := range files {
		if err != nil {
			break
		}
		if err = os.Rename(filepath.Join(db.o.Path, f), filepath.Join(to, f)); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("set a damaged part of the metrics aside: %w", err)
	}
	db.o.Logger.WarnContext(ctx, "a part of the database of metrics was set aside: its readings are read from the log again, as far as that has them",
		obs.KeyPath, to, obs.KeyReason, a.Reason, "from", a.From, "to", a.To)
	return db.noteAside(a)
}

// noteAside keeps what was set aside, durably, so that it is rebuilt even after a restart.
func (db *DB) noteAside(a *Aside) error {
	return db.change(func(p *place) {
		if a.ofHead {
			p.WAL, p.WBL = nil, nil
		}
		p.addAside(a)
	})
}

// headFiles are those of the head of the database.
func headFiles() []string { return []string{walFolder, wblFolder, "chunks_head"} }

// guiltyHead reports whether the database did not open because its head is damaged, and
// could not mend it by itself.
func (db *DB) guiltyHead(err error) bool {
	if isEnvironment(err) {
		return false
	}
	_, damaged := errors.AsType[*wlog.CorruptionErr](err)
	_, pathError := errors.AsType[*fs.PathError](err)
	return damaged || !pathError
}

// isEnvironment reports whether an error says nothing of what is on disk: no room, no
// right, no descriptors, in use by another process.
func isEnvironment(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN} {
		if errors.Is(err, e) {
			return true
		}
	}
	_, locked := errors.AsType[*vfs.LockedError](err)
	return locked
}

// setHeadAside moves the head away, so that the database begins a new one.
func (db *DB) setHeadAside(ctx context.Context, why error) error {
	a := &Aside{From: db.endOfBlocks(), To: db.o.Now().UTC(), Reason: "the newest readings cannot be read: " + why.Error(), State: AsideWaiting, Late: true, ofHead: true}
	return db.moveAside(ctx, a, "head", headFiles())
}

// endOfBlocks is where the head began, at the earliest.
func (db *DB) endOfBlocks() time.Time {
	end := db.o.Now().Add(-window).UnixMilli()
	folders, err := os.ReadDir(db.o.Path)
	if err != nil {
		return time.UnixMilli(end).UTC()
	}
	for _, f := range folders {
		if _, err := ulid.ParseStrict(f.Name()); err != nil {
			continue
		}
		if meta, err := db.readBlock(filepath.Join(db.o.Path, f.Name())); err == nil && meta.MaxTime <= db.o.Now().UnixMilli() {
			end = max(end, meta.MaxTime)
		}
	}
	return time.UnixMilli(end).UTC()
}

// noteCut has the readings read again that the write-ahead logs have no more: files that
// are gone, or shorter than they were when the place moved. The database would not tell.
func (db *DB) noteCut(ctx context.Context) error {
	db.mu.Lock()
	wal, wbl := db.place.WAL, db.place.WBL
	db.mu.Unlock()
	for _, l := range []struct {
		folder string
		had    []segmentSize
	}{{walFolder, wal}, {wblFolder, wbl}} {
		why, err := cutOff(filepath.Join(db.o.Path, l.folder), l.had)
		if err != nil {
			return fmt.Errorf("look at the newest readings: %w", err)
		}
		if why != "" {
			return db.noteLost(ctx, why)
		}
	}
	return nil
}

// cutOff says what a write-ahead log lacks of what it had. Segments leave it from the
// oldest on, as they become blocks; one is always there.
func cutOff(dir string, had []segmentSize) (why string, err error) {
	segments, err := segmentsOf(dir)
	if err != nil {
		return "", err
	}
	for _, s := range had {
		info, err := os.Stat(filepath.Join(dir, padded(s.Segment)))
		switch {
		case errors.Is(err, fs.ErrNotExist) && (len(segments) == 0 || s.Segment > segments[0]):
			return fmt.Sprintf("%s/%s is missing", filepath.Base(dir), padded(s.Segment)), nil
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return "", err //nolint:wrapcheck // it names the file
		case info.Size() < s.Bytes:
			return fmt.Sprintf("%s/%s was %d bytes long and is %d", filepath.Base(dir), padded(s.Segment), s.Bytes, info.Size()), nil
		}
	}
	return "", nil
}

// noteMended has the readings read again that the database cut off its write-ahead logs
// when it opened. What lies behind its place is read again anyway.
func (db *DB) noteMended(ctx context.Context, m *mendings) error {
	if len(m.damage) == 0 {
		return nil
	}
	db.mu.Lock()
	durable := db.place.WAL
	db.mu.Unlock()
	lost := len(m.where) < len(m.damage) // among readings that came late, or nobody knows where
	for _, c := range m.where {
		for _, s := range durable {
			// It stands behind the record that cannot be read.
			lost = lost || c.Segment < s.Segment || c.Segment == s.Segment && c.Offset <= s.Bytes
		}
	}
	if !lost {
		db.o.Logger.InfoContext(ctx, "the end of the log of the database of metrics was torn, and is read from the hub's log again")
		return nil
	}
	return db.noteLost(ctx, m.damage[0].Error())
}

// noteLost has the readings of the head read again, once for what the place knew.
func (db *DB) noteLost(ctx context.Context, why string) error {
	a := &Aside{
		From: db.endOfBlocks(), To: db.o.Now().UTC(), Time: db.o.Now().UTC(), State: AsideWaiting, Late: true,
		Reason: "the newest readings were damaged on disk: " + why,
	}
	db.o.Logger.WarnContext(ctx, "the newest readings were damaged on disk: they are read from the log again, as far as that has them", obs.KeyReason, why)
	return db.change(func(p *place) {
		p.WAL, p.WBL = nil, nil
		p.addAside(a)
	})
}

// aheadMost is how far the newest sample may be ahead of the clock that is believed.
const aheadMost = time.Hour

// lookAhead makes the database begin a new head where it has samples of a time that has not
// come: it would take nothing until that time, as all else is too old for it. So it is after
// a clock far ahead was believed, and then set right.
func (db *DB) lookAhead(ctx context.Context) {
	t, release, err := db.use()
	if err != nil {
		return
	}
	defer release()
	now := db.o.Now()
	ahead := time.UnixMilli(t.Head().MaxTime()).Sub(now)
	if t.Head().NumSeries() == 0 || ahead < aheadMost {
		return
	}
	db.o.Logger.WarnContext(ctx, "the newest readings are of a time that has not come: the clock was ahead, and they are set aside", "ahead", ahead.Round(time.Second).String())
	db.breaks(fmt.Errorf("%w: %s ahead of the clock", errAhead, ahead.Round(time.Minute)))
}

// errAhead says that the head is of a time that has not come.
var errAhead = errors.New("the newest readings are of a time that has not come")

// setAheadAside moves what is of a time that has not come away. The database is closed.
func (db *DB) setAheadAside(ctx context.Context, why error) error {
	files := headFiles()
	folders, err := os.ReadDir(db.o.Path)
	if err != nil {
		return fmt.Errorf("list the blocks of metrics: %w", err)
	}
	for _, f := range folders {
		if _, err := ulid.ParseStrict(f.Name()); err != nil {
			continue
		}
		meta, err := db.readBlock(filepath.Join(db.o.Path, f.Name()))
		if err == nil && meta.MaxTime > db.o.Now().Add(aheadMost).UnixMilli() {
			files = append(files, f.Name())
		}
	}
	a := &Aside{From: db.endOfBlocks(), To: db.o.Now().UTC(), Reason: why.Error(), State: AsideWaiting, ofHead: true}
	return db.moveAside(ctx, a, "ahead", files)
}
