package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// sumsFolder holds a ledger for each day: DIR/sums/YYYYMMDD.json.
const sumsFolder = "sums"

// ledger is what is known of a day's parts, which the engine never changes once they
// are there: it has no checksums of its own, and answers a flipped bit silently wrong.
//
// CRC-32C, as processors compute it faster than they read memory: it finds every burst
// of up to 32 bits and all else but one in four thousand million. It is against decay.
// Against people there is the log's chain of hashes, from which a day is made again.
type ledger struct {
	Version int             `json:"version"`
	Parts   map[string]part `json:"parts"` // by "datadb/NAME" or "indexdb/NAME"
}

const ledgerVersion = 1

// part is a folder of files.
type part struct {
	Rows    uint64          `json:"rows,omitempty"` // events; 0 in indexdb
	Files   map[string]file `json:"files"`
	Checked time.Time       `json:"checked,omitzero"` // when its content was last compared
}

// file is what a file of a part is to be.
type file struct {
	Size int64  `json:"size"`
	CRC  uint32 `json:"crc"`
}

// bytes is how much there is to read in p.
func (p part) bytes() (n int64) {
	for _, f := range p.Files {
		n += f.Size
	}
	return n
}

// rows counts events of all parts.
func (l *ledger) rows() (n uint64) {
	for _, p := range l.Parts {
		n += p.Rows
	}
	return n
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // constant

// readLedger returns the ledger of a day; one without parts where there is none that
// can be read.
func readLedger(dir, day string) *ledger {
	l := &ledger{}
	b, err := readRegular(filepath.Join(dir, day+".json"))
	if err != nil || json.Unmarshal(b, l) != nil || l.Version != ledgerVersion || l.Parts == nil {
		return &ledger{Version: ledgerVersion, Parts: map[string]part{}}
	}
	return l
}

func writeLedger(dir, day string, l *ledger) error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write checksums of day %s: %w", day, err)
	}
	return writeFile(filepath.Join(dir, day+".json"), b)
}

// listed are the parts of a day that the engine uses, by its lists.
func listed(partition string) (map[string]bool, error) {
	all := map[string]bool{}
	for _, kind := range []string{"datadb", "indexdb"} {
		names, err := readParts(filepath.Join(partition, kind))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if all[kind+"/"+name] {
				return nil, fmt.Errorf("%s lists part %s twice", kind, name)
			}
			all[kind+"/"+name] = true
		}
	}
	return all, nil
}

// readParts reads a list of parts. None is there before the first part is.
func readParts(dir string) ([]string, error) {
	b, err := readRegular(filepath.Join(dir, "parts.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	if err := json.Unmarshal(b, &names); err != nil {
		return nil, fmt.Errorf("parts.json: %w", err)
	}
	for _, name := range names {
		if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
			return nil, fmt.Errorf("parts.json lists a part %q", name)
		}
	}
	return names, nil
}

// header is what is read of a part's metadata.json, in datadb.
type header struct {
	FormatVersion int
	RowsCount     uint64
}

// readHeader reads it; in indexdb, which has other fields, it is zero.
func readHeader(dir string) (header, error) {
	var h header
	b, err := readRegular(filepath.Join(dir, "metadata.json"))
	if err != nil {
		return h, err
	}
	if err := json.Unmarshal(b, &h); err != nil {
		return h, fmt.Errorf("metadata.json: %w", err)
	}
	return h, nil
}

// measure computes the checksums of the part in dir.
func measure(ctx context.Context, dir string, pace *pacer) (part, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return part{}, err
	}
	h, err := readHeader(dir)
	if err != nil {
		return part{}, err
	}
	p := part{Rows: h.RowsCount, Files: make(map[string]file, len(entries)), Checked: time.Now().UTC()}
	for _, e := range entries {
		if p.Files[e.Name()], err = sum(ctx, filepath.Join(dir, e.Name()), pace); err != nil {
			return part{}, err
		}
	}
	return p, nil
}

// sumBuffer is how much of a file is read at once.
const sumBuffer = 256 << 10

// sum reads a file.
func sum(ctx context.Context, path string, pace *pacer) (file, error) {
	if err := regular(path); err != nil {
		return file{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return file{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return file{}, err
	}
	var out file
	// Most files are small, and a part has ten of them: one byte more than the file tells its end.
	b := make([]byte, min(sumBuffer, info.Size()+1))
	for {
		n, err := f.Read(b)
		out.Size += int64(n)
		out.CRC = crc32.Update(out.CRC, castagnoli, b[:n])
		if errors.Is(err, io.EOF) {
			forget(f)
			return out, nil
		}
		if err != nil {
			return file{}, err
		}
		if err := pace.wait(ctx, n); err != nil {
			return file{}, err
		}
	}
}

// pacer bounds how fast is read. Nil does not.
type pacer struct {
	perSecond int
	passed    func(int64) // bytes, for progress; may be nil
}

func (p *pacer) wait(ctx context.Context, n int) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if p == nil {
		return nil
	}
	if p.passed != nil {
		p.passed(int64(n))
	}
	if p.perSecond <= 0 {
		return nil
	}
	t := time.NewTimer(time.Duration(n) * time.Second / time.Duration(p.perSecond))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// note brings the ledger of one day up to date and reports whether it changed: new parts
// are measured, parts that the engine no longer lists forgotten. What vanishes meanwhile
// was merged into another part.
func (l *ledger) note(ctx context.Context, partition string) (changed bool, err error) {
	now, err := listed(partition)
	if err != nil {
		return false, err
	}
	for name := range l.Parts {
		if !now[name] {
			delete(l.Parts, name)
			changed = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if _, ok := l.Parts[name]; ok {
			continue
		}
		p, err := measure(ctx, filepath.Join(partition, name), nil)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return changed, err
		}
		l.Parts[name] = p
		changed = true
	}
	return changed, nil
}
