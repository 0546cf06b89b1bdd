package wal

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/vfs"
)

// damage puts a bad place on record.
func (l *Log) damage(d Damage) {
	l.recovery.Damage = append(l.recovery.Damage, d)
	l.log.Error("log is damaged", "path", d.Segment, "position", d.Position, "offset", d.FirstBad,
		"reason", d.Reason, "copy", d.Copy)
}

// badCursor moves a damaged cursor away; its subscriber starts anew.
func (l *Log) badCursor(name, reason string) {
	from := filepath.Join(l.opts.Dir, cursorDir, name)
	to := filepath.Join(l.opts.Dir, quarantineDir, "cursor-"+name)
	err := l.opts.FS.MkdirAll(filepath.Dir(to), 0o700)
	if err == nil {
		err = l.opts.FS.Rename(from, to)
	}
	l.log.Warn("cursor is damaged, its subscriber starts at the oldest event",
		"cursor", name, "reason", reason, "error", err)
}

// quarantineMove moves a file to the quarantine folder and returns its path,
// or "" when that fails.
func (l *Log) quarantineMove(name string) string {
	to := filepath.Join(l.opts.Dir, quarantineDir, name)
	err := l.opts.FS.MkdirAll(filepath.Dir(to), 0o700)
	if _, statErr := l.opts.FS.Stat(to); statErr == nil {
		to = fmt.Sprintf("%s.%d", to, l.opts.Now().UnixNano())
	}
	if err == nil {
		err = l.opts.FS.Rename(filepath.Join(l.opts.Dir, name), to)
	}
	if err == nil {
		err = errors.Join(l.opts.FS.SyncDir(filepath.Dir(to)), l.opts.FS.SyncDir(l.opts.Dir))
	}
	if err != nil {
		l.log.Warn("quarantine segment", "path", name, "error", err)
		return ""
	}
	l.statMu.Lock()
	defer l.statMu.Unlock()
	l.quarantined = append(l.quarantined, to)
	return to
}

// quarantineCopy copies a damaged segment to the quarantine folder, where
// retention does not remove it, and returns the path, or "" when that fails.
// One copy is enough however many places are bad, for a damaged segment is not
// written any more; pos is the first of them.
func (l *Log) quarantineCopy(name string, pos int64) string {
	mark := filepath.Join(l.opts.Dir, quarantineDir, name+damagedMark)
	for _, made := range l.quarantined {
		if strings.HasPrefix(made, mark) {
			return made
		}
	}
	accepted := filepath.Join(l.opts.Dir, quarantineDir, acceptedDir)
	entries, _ := l.opts.FS.ReadDir(accepted) // none, if it cannot be read
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), name+damagedMark) {
			return filepath.Join(accepted, e.Name())
		}
	}
	to := mark + strconv.FormatInt(pos, 10)
	err := l.opts.FS.MkdirAll(filepath.Dir(to), 0o700)
	if err == nil {
		err = copyFile(l.opts.FS, filepath.Join(l.opts.Dir, name), to)
	}
	if err != nil {
		l.log.Warn("quarantine segment", "path", name, "error", err)
		return ""
	}
	l.quarantined = append(l.quarantined, to)
	return to
}

// copyFile makes a durable copy.
func copyFile(fsys vfs.FS, from, to string) error {
	src, err := fsys.Open(from)
	if err != nil {
		return err
	}
	dst, err := fsys.Create(to + tempSuffix)
	if err != nil {
		return errors.Join(err, src.Close())
	}
	size, err := src.Size()
	if err == nil {
		err = copyTo(dst, src, size)
	}
	if err == nil {
		err = dst.Sync()
	}
	if err = errors.Join(err, src.Close(), dst.Close()); err != nil {
		return errors.Join(err, fsys.Remove(to+tempSuffix))
	}
	if err := fsys.Rename(to+tempSuffix, to); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(to))
}

func (l *Log) listQuarantine() {
	entries, err := l.opts.FS.ReadDir(filepath.Join(l.opts.Dir, quarantineDir))
	if err != nil {
		return // there is none
	}
	for _, e := range entries {
		if e.IsDir() {
			continue // what was accepted
		}
		l.quarantined = append(l.quarantined, filepath.Join(l.opts.Dir, quarantineDir, e.Name()))
	}
}
