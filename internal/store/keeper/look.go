package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/store/vlogs"
	"github.com/amoskys/amoskys/internal/vfs"
)

// newestFormat of a part is what the engine that we link reads.
const newestFormat = 3

// smallFile is up to which size the content of a file is compared at each start.
const smallFile = 4 << 10

// ErrNewer says that a newer version of the engine wrote the files.
var ErrNewer = errors.New("a newer version of AMOSKYS wrote the store's files: run that version, or move the folder away to have the store built again from the log")

// ErrRunning says that an engine runs on the folder that is not ours, such as one whose
// store was killed a moment ago.
var ErrRunning = errors.New("another engine still uses the store's folder")

// lockEngine takes the engine's own lock while nothing of its folder may change.
func (k *Keeper) lockEngine() (release func(), err error) {
	if _, err := os.Stat(k.engineDir()); errors.Is(err, os.ErrNotExist) {
		return func() {}, nil
	}
	held, err := vfs.OS{}.Lock(filepath.Join(k.engineDir(), "flock.lock"))
	if _, ok := errors.AsType[*vfs.LockedError](err); ok {
		return nil, fmt.Errorf("%w (%s)", ErrRunning, k.engineDir())
	}
	if err != nil {
		return nil, fmt.Errorf("lock the store's folder: %w", err)
	}
	return func() { _ = held.Close() }, nil
}

// ending is how the engine ended before.
type ending int

const (
	cleanEnd  ending = iota // in order: the lists are as the ledgers say
	crashEnd                // parts may have come, and others been merged into them
	brokenEnd               // and events may have been deleted
)

// look goes through the engine's folder before it is opened, as the engine deletes what
// it does not know and ends over what it cannot read:
//
//	what lies there                           what the engine would do   what is done
//	a file, or a folder that is no day        end at each start          set aside
//	a day of a newer format                   end at each start          ErrNewer
//	an empty folder of a day with a ledger    delete it                  set aside
//	no folder of a day with a ledger          answer without it          noted as set aside
//	no indexdb, no list, a list of what is    end, or answer without it  set aside
//	not there, or of one part twice
//	parts that differ from their ledger       end, or answer wrong       set aside
//	fewer events listed than the ledger has   delete the other parts     set aside
//	delete_tasks.json that cannot be read     end at each start          set aside; unclean
func (k *Keeper) look(end ending) error {
	dir := k.partitions()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look into the store's folder: %w", err)
	}
	if err := k.lookAtTasks(); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, e := range entries {
		name := e.Name()
		if name[0] == '.' {
			continue // the engine does not look at it
		}
		why := "its name is no day"
		if isDay(name) {
			seen[name] = true
			// A barrier's, which ended before it could delete it; its links keep disk space.
			if e.IsDir() {
				if err := os.RemoveAll(filepath.Join(dir, name, "snapshots")); err != nil {
					return fmt.Errorf("remove what a barrier left: %w", err)
				}
			}
			why, err = lookAtDay(filepath.Join(dir, name), readLedger(k.sumsDir(), name), end)
			if err != nil {
				return err
			}
		}
		if why != "" {
			if err := k.setAside(name, why, nil); err != nil {
				return err
			}
		}
	}
	return k.lookForLost(seen)
}

func isDay(name string) bool {
	_, err := time.Parse(vlogs.DayFormat, name)
	return err == nil && len(name) == len(vlogs.DayFormat)
}

// lookForLost notes days that have a ledger and no folder.
func (k *Keeper) lookForLost(seen map[string]bool) error {
	entries, err := os.ReadDir(k.sumsDir())
	if err != nil {
		return fmt.Errorf("look for checksums: %w", err)
	}
	for _, e := range entries {
		day, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || !isDay(day) || seen[day] || len(readLedger(k.sumsDir(), day).Parts) == 0 {
			continue
		}
		if err := k.noteLost(day, "its folder is not there any more"); err != nil {
			return err
		}
	}
	return nil
}

// lookAtTasks moves a list of deletions away that would end the engine. What it was to
// delete is deleted again by whoever mends an unclean end.
func (k *Keeper) lookAtTasks() error {
	path := filepath.Join(k.engineDir(), "delete_tasks.json")
	b, err := readRegular(path)
	var tasks []json.RawMessage
	if errors.Is(err, os.ErrNotExist) || err == nil && json.Unmarshal(b, &tasks) == nil {
		return nil
	}
	to := filepath.Join(k.quarantineDir(), "delete_tasks.json."+time.Now().UTC().Format(timestampFormat))
	if err := os.Rename(path, to); err != nil {
		return fmt.Errorf("set the store's broken list of deletions aside: %w", err)
	}
	k.logger.Error("the store's list of deletions was broken and is set aside", obs.KeyPath, to)
	k.update(func(s *State) { s.Unclean = true })
	return nil
}

// lookAtDay says what is wrong with a day's folder; nothing where it may be opened.
func lookAtDay(dir string, known *ledger, end ending) (why string, err error) {
	st, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("look at a day of the store: %w", err)
	}
	if !st.IsDir() {
		return "it is no folder", nil
	}
	fresh := len(known.Parts) == 0 // the engine may have ended while it made it
	if !exists(dir, "indexdb") && (exists(dir, "datadb") || !fresh) {
		return "its index is missing", nil
	}
	if !fresh && (!exists(dir, "datadb/parts.json") || !exists(dir, "indexdb/parts.json")) {
		return "its list of parts is missing", nil
	}
	now, err := listed(dir)
	if err != nil {
		return fmt.Sprintf("its list of parts cannot be read (%v)", plain(err)), nil
	}
	newer, rows := false, uint64(0)
	for _, name := range slices.Sorted(maps.Keys(now)) {
		p, ok := known.Parts[name]
		if ok {
			if why := compare(filepath.Join(dir, name), p); why != "" {
				return fmt.Sprintf("part %s: %s", name, why), nil
			}
		}
		h, err := readHeader(filepath.Join(dir, name))
		if err != nil {
			return fmt.Sprintf("part %s cannot be read (%v)", name, plain(err)), nil
		}
		newer = newer || h.FormatVersion > newestFormat
		rows += h.RowsCount
	}
	if newer {
		return "", fmt.Errorf("%w: %w (%s)", child.ErrStay, ErrNewer, dir)
	}
	return lookAtList(known, now, rows, end), nil
}

// lookAtList compares which parts are listed with which were.
func lookAtList(known *ledger, now map[string]bool, rows uint64, end ending) string {
	if len(known.Parts) == 0 || end == brokenEnd {
		return ""
	}
	if end == cleanEnd {
		for name := range known.Parts {
			if !now[name] {
				return fmt.Sprintf("part %s is not in its list of parts any more", name)
			}
		}
		if len(now) != len(known.Parts) {
			return "its list of parts has some that were not there"
		}
		return ""
	}
	if before := known.rows(); rows < before {
		return fmt.Sprintf("its list of parts has %d events, and had %d", rows, before)
	}
	return ""
}

// compare says how the part in dir differs from what is known of it, by names, sizes and
// the content of small files.
func compare(dir string, p part) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return plain(err).Error()
	}
	n := 0
	for _, e := range entries {
		want, ok := p.Files[e.Name()]
		if !ok {
			continue // the engine does not look at it either
		}
		n++
		info, err := e.Info()
		if err != nil {
			return plain(err).Error()
		}
		if info.Size() != want.Size {
			return fmt.Sprintf("%s has %d bytes instead of %d", e.Name(), info.Size(), want.Size)
		}
		if want.Size > smallFile {
			continue
		}
		b, err := readRegular(filepath.Join(dir, e.Name()))
		if err != nil {
			return plain(err).Error()
		}
		if crc32.Checksum(b, castagnoli) != want.CRC {
			return e.Name() + " has changed"
		}
	}
	if n < len(p.Files) {
		for _, name := range slices.Sorted(maps.Keys(p.Files)) {
			if !exists(dir, name) {
				return name + " is missing"
			}
		}
	}
	return ""
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

// plain is an error without the path, which is said already.
func plain(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s %s: %w", e.Op, filepath.Base(e.Path), e.Err)
	}
	return err
}
