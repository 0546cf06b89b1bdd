package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
)

// PlaceFile is the name of the file, below the folder of the database, that says what of
// the log is durably written. It is a line with the CRC-32C of the rest in hexadecimal,
// and the rest, which is JSON.
const PlaceFile = "place"

// place is what the file holds.
type place struct {
	// Offset is behind the last event whose readings are durably in the database. A place
	// that is behind the truth does no harm: the same sample twice is the same sample.
	Offset stream.Offset `json:"offset"`
	// Last is the last event that was read, before Offset; zero where none was, or where an
	// older version wrote the place.
	Last lastRead `json:"last,omitzero"`
	// WAL and WBL are the segments of the write-ahead logs of the database, for samples in
	// order and others, as they were durable with it.
	WAL []segmentSize `json:"wal,omitempty"`
	WBL []segmentSize `json:"wbl,omitempty"`
	// Aside are parts of the database that were set aside, the oldest first.
	Aside []Aside `json:"set_aside,omitempty"`
}

type segmentSize struct {
	Segment int   `json:"segment"`
	Bytes   int64 `json:"bytes"`
}

// Aside is a part of the database that could not be used and was moved out of its way.
type Aside struct {
	// Folder is its name below set_aside; empty where nothing was worth keeping.
	Folder string `json:"folder,omitempty"`
	// From and To bound the readings that it had, as far as that is known.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Reason says what was wrong, for people.
	Reason string    `json:"reason"`
	Time   time.Time `json:"time"` // when it was set aside
	// State is what became of its readings.
	State AsideState `json:"state"`
	// Late says that the part held readings, too, that came up to a day late: of before From.
	Late bool `json:"late,omitempty"`
	// Samples are those that were read from the log again.
	Samples uint64 `json:"samples,omitempty"`

	ofHead bool
}

// AsideState is what became of readings whose part of the database was set aside.
type AsideState string

// The states.
const (
	AsideWaiting AsideState = "rebuilding" // they are to be read from the log again
	AsideRebuilt AsideState = "rebuilt"    // all are there again
	AsidePartly  AsideState = "partly"     // the log did not reach back far enough, or not at all
)

// maxAside bounds how many are remembered; the oldest are forgotten first.
const maxAside = 64

func (p *place) addAside(a *Aside) {
	p.Aside = append(p.Aside, *a)
	if n := len(p.Aside) - maxAside; n > 0 {
		p.Aside = slices.Delete(p.Aside, 0, n)
	}
}

// maxPlaceBytes is more than a place takes.
const maxPlaceBytes = 1 << 20

var errPlace = errors.New("the place of the database of metrics in the log is damaged")

func placeSum(b []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// loadPlace reads the file; without one it is the beginning of the log. The error is
// errPlace, or that of the disk.
func loadPlace(fsys vfs.FS, dir string) (p place, err error) {
	f, err := fsys.Open(filepath.Join(dir, PlaceFile))
	if vfs.IsNotExist(err) {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("read the place of the database of metrics: %w", err)
	}
	size, err := f.Size()
	b := make([]byte, min(size, maxPlaceBytes))
	if err == nil {
		if _, err = f.ReadAt(b, 0); errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return p, fmt.Errorf("read the place of the database of metrics: %w", err)
	}
	return decodePlace(b)
}

func decodePlace(b []byte) (p place, err error) {
	sum, body, ok := bytes.Cut(b, []byte("\n"))
	if !ok || string(sum) != placeSum(body) {
		return p, fmt.Errorf("%w: its checksum is wrong", errPlace)
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return place{}, fmt.Errorf("%w: %w", errPlace, err)
	}
	return p, nil
}

// save replaces the file, whole or not at all, and durably.
func (p *place) save(fsys vfs.FS, dir string) error {
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("write the place of the database of metrics: %w", err)
	}
	body = append(body, '\n')
	if err := vfs.ReplaceFile(fsys, filepath.Join(dir, PlaceFile), append([]byte(placeSum(body)+"\n"), body...)); err != nil {
		return fmt.Errorf("write the place of the database of metrics: %w", err)
	}
	return nil
}

// Folders of the write-ahead logs, below that of the database.
const (
	walFolder = "wal"
	wblFolder = "wbl"
)

// syncLog makes durable what the database has in a write-ahead log, which it leaves to the
// system, and returns how far that reaches.
func syncLog(dir string) (list []segmentSize, err error) {
	segments, err := segmentsOf(dir)
	if err != nil || len(segments) == 0 {
		return nil, err
	}
	for i, n := range segments {
		size, err := syncFile(filepath.Join(dir, padded(n)), i >= len(segments)-2) // earlier ones are
		if err != nil {
			return nil, err
		}
		if size >= 0 {
			list = append(list, segmentSize{Segment: n, Bytes: size})
		}
	}
	return list, (vfs.OS{}).SyncDir(dir)
}

// padded is the name of a segment.
func padded(n int) string { return fmt.Sprintf("%08d", n) }

// segmentsOf lists the segments of a write-ahead log, in order.
func segmentsOf(dir string) (list []int, err error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the folder
	}
	for _, f := range files {
		if n, err := strconv.Atoi(f.Name()); err == nil {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list, nil
}

// syncFile returns the size of a file, -1 where it has gone, and makes it durable.
func syncFile(name string, sync bool) (size int64, err error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return -1, nil // it became a block meanwhile
	}
	if err != nil {
		return 0, err //nolint:wrapcheck // it names the file
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil || !sync {
		return info.Size(), err //nolint:wrapcheck // it names the file
	}
	return info.Size(), f.Sync()
}

// change changes the place and writes it, whole or not at all.
func (db *DB) change(how func(*place)) error {
	db.saving.Lock()
	defer db.saving.Unlock()
	db.mu.Lock()
	how(&db.place)
	p := db.place
	p.Aside = slices.Clone(p.Aside)
	db.mu.Unlock()
	return p.save(db.o.FS, db.o.Path)
}

// savePlace makes durable what is written, and moves the place.
func (db *DB) savePlace(ctx context.Context) {
	db.mu.Lock()
	next, last, due, failed := db.next, db.last, db.placeDue, db.broken != nil
	db.placeDue = false
	db.mu.Unlock()
	if !due || failed {
		return
	}
	wal, err := syncLog(filepath.Join(db.o.Path, walFolder))
	wbl, errLate := syncLog(filepath.Join(db.o.Path, wblFolder))
	if err = errors.Join(err, errLate); err == nil {
		err = db.change(func(p *place) { p.Offset, p.Last, p.WAL, p.WBL = next, last, wal, wbl })
	}
	db.mu.Lock()
	news := (err == nil) != (db.unsaved == nil)
	db.unsaved = err
	db.placeDue = db.placeDue || err != nil
	db.mu.Unlock()
	if err != nil {
		db.metrics.saveErrors.Inc()
		if news {
			db.o.Logger.WarnContext(ctx, "the place of the database of metrics cannot be written: after a restart, readings are read again", obs.KeyError, err)
		}
		return
	}
	if r := db.reader.Load(); r != nil {
		r.Durable(next)
	}
}
