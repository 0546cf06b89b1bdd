package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
)

// PlaceFile is the name of the file, below the store's folder, that says what of the log
// is durably stored. It is a line with the CRC-32C of the rest in hexadecimal, and the
// rest, which is Place as JSON.
const PlaceFile = "place"

// Place is what of the log is stored.
type Place struct {
	// Log numbers the logs that the store has read: it is another one than before when
	// the hub's log was replaced.
	Log uint64 `json:"log"`
	// Offset is behind the last event that is durably stored.
	Offset stream.Offset `json:"offset"`
	// Last is the id of the event before Offset, by which the log is known again; empty
	// where there is none.
	Last string `json:"last,omitempty"`
	// Newest is the latest time at which the hub received an event that is stored.
	Newest time.Time `json:"newest,omitzero"`
	// Days are the rows of each day (YYYYMMDD).
	Days map[string]uint64 `json:"days"`
	// Thinned are the readings of each day that were left out (leaveOut).
	Thinned  map[string]uint64 `json:"thinned,omitempty"`
	Gaps     []Gap             `json:"gaps,omitempty"`     // oldest first
	Rebuilds []Rebuild         `json:"rebuilds,omitempty"` // in the order in which they are done
	// Bounds say which times were believed when, of the log that is read, oldest first: a
	// day that is rebuilt gets the events that it had.
	Bounds []Bound `json:"bounds,omitempty"`
	// Refill is the filling of a cluster that lost rows; nil: none is under way.
	Refill *Refill `json:"refill,omitempty"`
	// Joints are where the log parts from those that it is a restored copy of, up to there,
	// the first at 0; none where it is of no other.
	Joints []Joint `json:"joints,omitempty"`
	// Types is the day on which events were last removed by their type.
	Types string `json:"types,omitempty"`
}

// Bound is how many days were kept when the events from an offset on were stored: one
// that was older when it came is of the day on which it came (Retention).
type Bound struct {
	From stream.Offset `json:"from"`
	Days int           `json:"days"`
}

// maxBounds bounds how many are remembered; the oldest are forgotten first.
const maxBounds = 64

// Gap is what the store does not have although the log once did.
type Gap struct {
	Log    uint64        `json:"log"`
	From   stream.Offset `json:"from"`
	To     stream.Offset `json:"to"`
	Count  uint64        `json:"count"` // events; 0 where nobody knows
	Day    string        `json:"day,omitempty"`
	Cause  string        `json:"cause"` // stream.Cause, or "rebuild": the log no longer had them
	Reason string        `json:"reason"`
	Time   time.Time     `json:"time"` // when it was met
}

// maxGaps bounds how many are remembered; the oldest are forgotten first.
const maxGaps = 256

// Rebuild is a day that was set aside and is read from the log again.
type Rebuild struct {
	Folder string        `json:"folder"` // in quarantine
	Day    string        `json:"day"`
	Begun  bool          `json:"begun"` // Next says where it goes on
	From   stream.Offset `json:"from"`
	Next   stream.Offset `json:"next"`
	Until  stream.Offset `json:"until"`
	Had    uint64        `json:"had"`    // rows of the day when it was set aside
	Stored uint64        `json:"stored"` // rows that are there again
}

func (p *Place) clone() Place {
	c := *p
	c.Days, c.Gaps, c.Rebuilds, c.Bounds = maps.Clone(p.Days), slices.Clone(p.Gaps), slices.Clone(p.Rebuilds), slices.Clone(p.Bounds)
	c.Thinned, c.Refill, c.Joints = maps.Clone(p.Thinned), p.Refill.clone(), slices.Clone(p.Joints)
	if c.Days == nil {
		c.Days = map[string]uint64{}
	}
	if c.Thinned == nil {
		c.Thinned = map[string]uint64{}
	}
	return c
}

// maxPlaceBytes is more than a place takes.
const maxPlaceBytes = 1 << 20

// ErrPlace says that the place file is not what was written.
var ErrPlace = errors.New("the store's place in the log is damaged")

func checksum(b []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// loadPlace reads the file; known is false where there is none. The error is ErrPlace,
// or that of the disk.
func loadPlace(fsys vfs.FS, dir string) (p Place, known bool, err error) {
	f, err := fsys.Open(filepath.Join(dir, PlaceFile))
	if vfs.IsNotExist(err) {
		return p.clone(), false, nil
	}
	if err != nil {
		return p, false, fmt.Errorf("read the store's place: %w", err)
	}
	size, err := f.Size()
	b := make([]byte, min(size, maxPlaceBytes))
	if err == nil {
		if _, err = f.ReadAt(b, 0); errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return p, false, fmt.Errorf("read the store's place: %w", err)
	}
	if p, err = decodePlace(b); err != nil {
		return Place{}, false, err
	}
	return p.clone(), true, nil
}

func decodePlace(b []byte) (p Place, err error) {
	sum, body, ok := bytes.Cut(b, []byte("\n"))
	if !ok || string(sum) != checksum(body) {
		return p, fmt.Errorf("%w: its checksum is wrong", ErrPlace)
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return p, fmt.Errorf("%w: %w", ErrPlace, err)
	}
	return p, nil
}

// save replaces the file, whole or not at all, and durably.
func (p *Place) save(fsys vfs.FS, dir string) error {
	b, err := p.encode()
	if err != nil {
		return err
	}
	if err := replaceFile(fsys, filepath.Join(dir, PlaceFile), b); err != nil {
		return fmt.Errorf("write the store's place: %w", err)
	}
	return nil
}

// encode writes a place as decodePlace reads it.
func (p *Place) encode() ([]byte, error) {
	body, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("write the store's place: %w", err)
	}
	body = append(body, '\n')
	return append([]byte(checksum(body)+"\n"), body...), nil
}

func replaceFile(fsys vfs.FS, name string, b []byte) error {
	f, err := fsys.Create(name + ".new")
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, fsys.Remove(name+".new"))
	}
	if err := fsys.Rename(name+".new", name); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

// behind is the filter of rows behind the place, of its log alone.
func (p *Place) behind() string { return p.rows(p.Offset, 0) }

// behind is the filter of rows that a rebuild may have stored in part.
func (r *Rebuild) behind(p *Place) (string, error) {
	at, err := time.Parse(dayFormat, r.Day)
	if err != nil {
		return "", fmt.Errorf("rebuild day %q: %w", r.Day, err)
	}
	return "_time:" + at.Format(time.DateOnly+"Z") + " " + p.rows(r.Next, r.Until), nil
}

// addGap remembers one more.
func (p *Place) addGap(g Gap) {
	p.Gaps = append(p.Gaps, g)
	if n := len(p.Gaps) - maxGaps; n > 0 {
		p.Gaps = slices.Delete(p.Gaps, 0, n)
	}
}
