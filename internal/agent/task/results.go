package task

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Bounds on what an agent keeps of results, together.
const (
	maxResults     = 16
	maxResultsSize = 4 * MaxResultBytes
	partSuffix     = ".part"
)

var (
	errNoResult = errors.New("the task declares no result")
	// ErrNotKept is the answer for a result that is not there.
	ErrNotKept = errors.New("there is no such result: it is kept for an hour, and of runs that succeeded only")
)

// results keeps what tasks wrote, one file a run, named RUN.TASK.
type results struct {
	dir string
	now func() time.Time
}

// newResults opens the folder and removes what a crash left half written.
func newResults(dir string, now func() time.Time) (*results, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder for results: %w", err)
	}
	r := &results{dir: dir, now: now}
	parts, _ := filepath.Glob(filepath.Join(dir, "*"+partSuffix)) // the pattern is right
	for _, file := range parts {
		if err := os.Remove(file); err != nil {
			return nil, fmt.Errorf("remove half a result: %w", err)
		}
	}
	return r, nil
}

// resultFile is the result of a run while it is written.
type resultFile struct {
	f     *os.File
	max   int64
	size  int64
	final string
}

// create opens the file of a run.
func (r *results) create(runID, task string, limit int64) (*resultFile, error) {
	final := filepath.Join(r.dir, runID+"."+task)
	f, err := os.OpenFile(final+partSuffix, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keep result: %w", err)
	}
	return &resultFile{f: f, max: limit, final: final}, nil
}

// Write implements io.Writer.
func (w *resultFile) Write(b []byte) (int, error) {
	if w.size+int64(len(b)) > w.max {
		return 0, fmt.Errorf("the result is larger than the %d bytes that the task declares", w.max)
	}
	n, err := w.f.Write(b)
	w.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("keep result: %w", err)
	}
	return n, nil
}

// close keeps the result, or removes it.
func (w *resultFile) close(keep bool) error {
	err := w.f.Close()
	if keep && err == nil {
		err = os.Rename(w.f.Name(), w.final)
	}
	if !keep || err != nil {
		_ = os.Remove(w.f.Name()) // newResults tries again
	}
	if err != nil {
		return fmt.Errorf("keep result: %w", err)
	}
	return nil
}

// kept is one result on disk.
type kept struct {
	run, task, file string
	size            int64
	made            time.Time
}

// list returns the results, oldest first.
func (r *results) list() []kept {
	entries, _ := os.ReadDir(r.dir) // none, if it cannot be read
	var out []kept
	for _, e := range entries {
		run, task, ok := strings.Cut(e.Name(), ".")
		info, err := e.Info()
		if !ok || strings.HasSuffix(task, partSuffix) || err != nil || !info.Mode().IsRegular() {
			continue
		}
		out = append(out, kept{run, task, filepath.Join(r.dir, e.Name()), info.Size(), info.ModTime()})
	}
	slices.SortFunc(out, func(a, b kept) int { return a.made.Compare(b.made) })
	return out
}

// sweep removes what is over an hour old, and the oldest above the bounds.
func (r *results) sweep() {
	all := r.list()
	var size int64
	for _, k := range all {
		size += k.size
	}
	for i, k := range all {
		if r.now().Sub(k.made) < KeepResult && len(all)-i <= maxResults && size <= maxResultsSize {
			return
		}
		size -= k.size
		_ = os.Remove(k.file) // the next sweep tries again
	}
}

// open finds the result of a run.
func (r *results) open(runID string) (*os.File, kept, error) {
	r.sweep()
	for _, k := range r.list() {
		if k.run != runID {
			continue
		}
		f, err := os.Open(k.file)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		return f, k, err
	}
	return nil, kept{}, ErrNotKept
}
