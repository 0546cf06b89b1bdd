package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/vfs"
)

const (
	// rewriteDir is the folder within the log's of new segments that are not whole yet,
	// or not in their place.
	rewriteDir = "rewrite"
	// replacedDir is that of the segments whose place they took.
	replacedDir = "replaced"
	// keptMark is a file in replacedDir which says that some of what is there could not be
	// read in full. Only people remove such segments.
	keptMark = "damaged"
	// rewriteGuard is in the log's folder while segments are exchanged. It is called and
	// looks like a segment of a version that no build knows, so that none opens the log.
	rewriteGuard = "rewrite" + segmentSuffix
	guardVersion = math.MaxUint32
)

// exchange puts the new segments in the place of the old ones. The guard holds, in the
// places of a segment header, what the head file is to say: offset and chain value.
func (r *rewriter) exchange() error {
	guard := segmentHeader{version: guardVersion, first: r.head.next, prev: r.head.chain, salt: 1}
	path := filepath.Join(r.o.Dir, rewriteGuard)
	if err := r.makeFolder(replacedDir); err != nil {
		return err
	}
	mark := filepath.Join(r.o.Dir, replacedDir, keptMark)
	if err := r.fs.Remove(mark); err != nil && !vfs.IsNotExist(err) { // of one that was given up before this
		return err
	}
	if r.plan.BadPlaces > 0 {
		if err := r.writeFile(mark, []byte(errKept.Error()+"\n")); err != nil {
			return err
		}
	}
	if err := r.writeFile(path, guard.encode()); err != nil {
		return fmt.Errorf("write the guard: %w", err)
	}
	_, err := r.finish()
	return err
}

// writeFile makes a small file, which is durable before it has its name.
func (r *rewriter) writeFile(path string, content []byte) error {
	f, err := r.fs.Create(path + tempSuffix)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = r.fs.Rename(path+tempSuffix, path)
	}
	if err != nil {
		return err
	}
	return r.fs.SyncDir(filepath.Dir(path))
}

// errKept says why nobody but people removes old segments.
var errKept = errors.New("old segments could not be read in full")

// replaced tells what is in the folder of old segments: their names, and errKept where
// only people may remove them.
func (r *rewriter) replaced() (names []string, why, err error) {
	names, err = r.names(replacedDir)
	if err != nil || len(names) == 0 {
		return nil, nil, err
	}
	switch _, err := r.fs.Stat(filepath.Join(r.o.Dir, replacedDir, keptMark)); {
	case err == nil:
		return names, errKept, nil
	case vfs.IsNotExist(err):
		return names, nil, nil
	default:
		return names, nil, err
	}
}

// finish exchanges the segments where there is a guard, and takes it away. It may be
// interrupted anywhere and called again:
//
//	rewrite/NAME  NAME  replaced/NAME   then
//	there         there  -              NAME was not moved: it is, then the new one follows
//	there         there  there          a crash brought NAME back, or left the new one in
//	                                    both places: the new one takes its place
//	there         -      there          the new one follows
//	-             there  there          done
func (r *rewriter) finish() (found bool, err error) {
	guard, found, err := r.readGuard()
	if !found || err != nil {
		return found, err
	}
	names, err := r.names(rewriteDir)
	if err != nil {
		return true, err
	}
	here, fresh, old := r.o.Dir, filepath.Join(r.o.Dir, rewriteDir), filepath.Join(r.o.Dir, replacedDir)
	for _, name := range names {
		_, missing := r.fs.Stat(filepath.Join(old, name))
		switch {
		case missing == nil:
			continue
		case !vfs.IsNotExist(missing):
			return true, missing
		}
		if err := r.fs.Rename(filepath.Join(here, name), filepath.Join(old, name)); err != nil && !vfs.IsNotExist(err) {
			return true, err
		}
	}
	if err := errors.Join(r.fs.SyncDir(old), r.fs.SyncDir(here)); err != nil {
		return true, err
	}
	for _, name := range names {
		if err := r.fs.Rename(filepath.Join(fresh, name), filepath.Join(here, name)); err != nil {
			return true, err
		}
	}
	if err := errors.Join(r.fs.SyncDir(here), r.fs.SyncDir(fresh)); err != nil {
		return true, err
	}
	if err := r.renewHead(guard); err != nil {
		return true, err
	}
	if err := r.fs.Remove(filepath.Join(here, rewriteGuard)); err != nil {
		return true, err
	}
	if err := r.fs.SyncDir(here); err != nil {
		return true, err
	}
	return true, r.clearFolder(rewriteDir)
}

// readGuard reads the guard, if there is one.
func (r *rewriter) readGuard() (guard segmentHeader, found bool, err error) {
	b, err := readSmall(r.fs, filepath.Join(r.o.Dir, rewriteGuard), segmentHeaderBytes)
	if vfs.IsNotExist(err) {
		return guard, false, nil
	}
	if err != nil {
		return guard, true, err
	}
	le := binary.LittleEndian
	if len(b) < segmentHeaderBytes || string(b[:8]) != segmentMagic || le.Uint32(b[8:]) != guardVersion ||
		crc32.Checksum(b[:segmentCRCAt], castagnoli()) != le.Uint32(b[segmentCRCAt:]) {
		return guard, true, fmt.Errorf("%s is damaged: the segments in %s belong in the place of those in %s", rewriteGuard, rewriteDir, replacedDir)
	}
	guard.first = le.Uint64(b[16:])
	copy(guard.prev[:], b[32:])
	return guard, true, nil
}

// renewHead has the head file say what the guard does of the chain.
func (r *rewriter) renewHead(guard segmentHeader) error {
	h, _, err := readHead(r.fs, r.o.Dir)
	if errors.Is(err, errNoHead) {
		return nil // verify says so, before and after
	}
	if err != nil {
		return err
	}
	if h.next != guard.first {
		return nil // somebody else has written it since
	}
	h.serial++
	h.chain = guard.prev
	err, copyErr := writeHead(r.fs, r.o.Dir, h)
	if err != nil {
		return err
	}
	if copyErr != nil && stateOf(classify(copyErr)) != StateReadOnly {
		return copyErr
	}
	return nil
}

// makeFolder makes a folder in the log's.
func (r *rewriter) makeFolder(name string) error {
	if err := r.fs.MkdirAll(filepath.Join(r.o.Dir, name), 0o700); err != nil {
		return err
	}
	return r.fs.SyncDir(r.o.Dir)
}

// names lists the segments in a folder of the log's, none when it is not there.
func (r *rewriter) names(folder string) (names []string, err error) {
	entries, err := r.fs.ReadDir(filepath.Join(r.o.Dir, folder))
	if err != nil && !vfs.IsNotExist(err) {
		return nil, err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), segmentSuffix) && !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// clearFolder removes the segments in a folder of the log's, and the folder when it is
// empty then.
func (r *rewriter) clearFolder(folder string) error {
	names, err := r.names(folder)
	if err != nil {
		return err
	}
	path := filepath.Join(r.o.Dir, folder)
	for _, name := range names {
		if err := r.fs.Remove(filepath.Join(path, name)); err != nil {
			return err
		}
	}
	_ = r.fs.Remove(path) // it is not there, or holds what is not ours
	return r.fs.SyncDir(r.o.Dir)
}
