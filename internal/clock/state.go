package clock

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"strconv"
	"time"

	"github.com/amoskys/amoskys/internal/vfs"
)

// State is what a clock keeps on disk: a line with the CRC-32C of the rest in hex,
// and the rest, which is this as JSON. Differences are wall clock minus time since
// the start of the machine, in nanoseconds, and hold for that start alone.
type State struct {
	Time   time.Time `json:"time"`   // that was believed when this was written
	Passed int64     `json:"passed"` // since the start of the machine, ns
	Boot   string    `json:"boot"`   // names that start; empty where the system does not tell

	Believed  int64  `json:"believed"`  // difference that has proved right
	Line      int64  `json:"line"`      // difference that the clock goes by
	Last      int64  `json:"last"`      // difference at the last look
	Candidate int64  `json:"candidate"` // difference that may prove right
	Since     int64  `json:"since"`     // since when, as Passed
	Pending   []Step `json:"pending,omitempty"`
	Steps     []Step `json:"steps,omitempty"` // oldest first
}

// Step is a jump of the wall clock that was believed although the time between did
// not pass: what it showed up to Until stands for Shift later. Nanoseconds, since
// 1970 and of duration.
type Step struct {
	Until int64 `json:"until"`
	Shift int64 `json:"shift"`
}

const (
	maxSteps     = 16
	maxFileBytes = 16 << 10
	tempSuffix   = ".new"
)

// bounded makes one of the oldest steps where there are too many, which makes what is
// older than them younger than it is.
func bounded(steps []Step) []Step {
	for len(steps) > maxSteps {
		one := Step{Until: max(steps[0].Until, steps[1].Until), Shift: steps[0].Shift + steps[1].Shift}
		steps = append([]Step{one}, steps[2:]...)
	}
	return steps
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func (s *State) encode() ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the clock's state: %w", err)
	}
	return fmt.Appendf(nil, "%08x\n%s\n", crc32.Checksum(body, castagnoli()), body), nil
}

// errState says that a file is not what encode makes.
var errState = errors.New("the file is damaged")

func decode(b []byte) (State, error) {
	var s State
	sum, body, ok := bytes.Cut(b, []byte("\n"))
	body = bytes.TrimSuffix(body, []byte("\n"))
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if !ok || err != nil || len(sum) != 8 || crc32.Checksum(body, castagnoli()) != uint32(want) {
		return State{}, errState
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return State{}, fmt.Errorf("%w: %w", errState, err)
	}
	if len(s.Steps) > maxSteps || len(s.Pending) > maxSteps || s.Time.IsZero() {
		return State{}, errState
	}
	return s, nil
}

// load reads the file; known is false when there is none that can be believed.
func load(fsys vfs.FS, file string) (s State, known bool, err error) {
	if file == "" {
		return State{}, false, nil
	}
	f, err := fsys.Open(file)
	if vfs.IsNotExist(err) {
		return State{}, false, nil
	}
	if err != nil {
		return State{}, false, err
	}
	size, err := f.Size()
	b := make([]byte, min(size, maxFileBytes))
	if err == nil {
		if _, err = f.ReadAt(b, 0); errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return State{}, false, err
	}
	s, err = decode(b)
	return s, err == nil, err
}

// store writes the state beside the old one and puts it in its place. The caller
// holds mu.
func (c *Clock) store() error {
	if c.o.File == "" {
		return nil
	}
	passed := c.read.Passed()
	s := c.state
	s.Passed, s.Time, s.Last, s.Pending = int64(passed), time.Unix(0, s.Line+int64(passed)).UTC(), c.last, c.pending
	b, err := s.encode()
	if err != nil {
		return err
	}
	dir := filepath.Dir(c.o.File)
	if err := c.o.FS.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := c.o.FS.Create(c.o.File + tempSuffix)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, c.o.FS.Remove(c.o.File+tempSuffix))
	}
	if err := c.o.FS.Rename(c.o.File+tempSuffix, c.o.File); err != nil {
		return err
	}
	return c.o.FS.SyncDir(dir)
}
