// Package legacy reads the spools of builds that did not pack batches, so that a newer
// build sends what they have left. It changes no file.
//
// Such a spool has its files in the agent's spool folder itself: producer, cursor and
// segments whose magic is AMSPOOL\x01, in which events stand one behind the other and
// a seal closes each batch.
package legacy

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Batch is a run of events that was sealed under a number and not acknowledged. It is
// valid until visit returns.
type Batch struct {
	Producer [16]byte
	Sequence uint64
	Events   [][]byte
}

// Spool is what was found beside batches.
type Spool struct {
	Producer [16]byte // zero when it is not known
	// Sure says that numbers beyond Highest were given to no batch of Producer.
	Sure    bool
	Acked   uint64   // everything up to here is acknowledged
	Highest uint64   // number of any batch
	Loose   [][]byte // events that have no number yet
	Held    int      // events in batches and loose

	Lost         int  // events that damage has cost
	AtLeast      bool // it may be more
	DamagedBytes int64

	Files      []File   // all of the spool
	Unreadable []string // those of them in which nothing could be read, or that are copies
}

// File is one file and how long it was when it was read.
type File struct {
	Name string // without folder
	Size int64
}

// Find lists the files of a spool in dir. There is none when it returns none.
func Find(dir string) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list spool: %w", err)
	}
	var files []File
	for _, e := range entries {
		if e.IsDir() || e.Name() != "producer" && e.Name() != "cursor" && filepath.Ext(e.Name()) != ".spool" {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("list spool: %w", err)
		}
		files = append(files, File{e.Name(), info.Size()})
	}
	return files, nil
}

// Read reads the spool in dir, whose files Find has listed, and calls visit for each
// batch in the order of numbers. boot names the running system, empty for unknown. An
// error of visit ends it.
func Read(dir string, files []File, boot string, visit func(Batch) error) (*Spool, error) {
	id, safe, known := readProducer(dir, boot)
	mark, cursorOK := readCursor(dir)
	r := &reading{Spool: Spool{Producer: id, Acked: mark.seq, Highest: mark.seq, Files: files}, visit: visit}
	for _, f := range files {
		if f.Size > 0 && (f.Name == "producer" && !known || f.Name == "cursor" && !cursorOK) {
			r.damage(int(f.Size))
		}
	}
	if err := r.segments(dir, known); err != nil {
		return nil, err
	}
	r.account(mark, safe && mark.held >= 0)
	r.Sure = known && safe && cursorOK && !r.damaged && len(r.Loose) == 0
	return &r.Spool, nil
}

// reading is a spool while it is read.
type reading struct {
	Spool
	visit   func(Batch) error
	last    uint64 // number of the last batch that was visited
	damaged bool
	err     error // of visit
}

func (r *reading) damage(bytes int) {
	r.damaged = true
	r.DamagedBytes += int64(bytes)
}

// account settles what damage has cost. The cursor says how many events were on disk:
//
//	the system         in the files    then
//	still runs         fewer           the difference is lost
//	still runs         more            nothing is: the cursor is what was written last
//	has restarted      fewer           some may be lost, unless the cursor is newer than the files
//	or nobody knows    whatever        what shows in the files is lost at least
func (r *reading) account(mark cursor, exact bool) {
	missing := 0
	if mark.held >= 0 {
		missing = mark.held - r.Held
	}
	if exact {
		r.Lost = max(0, missing)
	}
	r.damaged = r.damaged || missing > 0
	r.AtLeast = r.damaged && !exact
}

// found is one segment file.
type found struct {
	segmentHeader
	name  string // with folder
	whole bool   // the header is readable
}

// segments reads them all, in the order that their headers say, whatever they were
// renamed to; one at a time, since together they may be large.
func (r *reading) segments(dir string, known bool) error {
	var all []*found
	for _, f := range r.Files {
		if filepath.Ext(f.Name) != ".spool" {
			continue
		}
		one := &found{name: filepath.Join(dir, f.Name)}
		head, err := readFile(one.name, headerBytes)
		if err != nil {
			return fmt.Errorf("read %s: %w", f.Name, err)
		}
		if one.segmentHeader, one.whole = decodeHeader(head); !one.whole {
			named, err := strconv.ParseUint(strings.TrimSuffix(f.Name, ".spool"), 16, 60)
			if err == nil {
				one.ordinal = named
			}
			one.producer = r.Producer
		}
		all = append(all, one)
	}
	slices.SortStableFunc(all, func(a, b *found) int {
		return cmp.Or(cmp.Compare(a.ordinal, b.ordinal), strings.Compare(a.name, b.name))
	})
	last := uint64(0)
	for _, one := range all {
		content, err := readFile(one.name, 1<<30)
		if err != nil {
			return fmt.Errorf("read %s: %w", filepath.Base(one.name), err)
		}
		if r.take(one, content, last, known); r.err != nil {
			return r.err
		}
		last = one.ordinal
	}
	return nil
}

// take reads one segment:
//
//	header                  then
//	readable                taken, whatever the file is called; a copy is not
//	damaged, and events     taken as its name says, if the producer is known
//	damaged otherwise       not taken
func (r *reading) take(one *found, content []byte, last uint64, known bool) {
	switch {
	case one.ordinal == 0 || last == one.ordinal:
		r.Unreadable = append(r.Unreadable, filepath.Base(one.name))
		r.damage(len(content))
		return
	case !one.whole && (!known || !holdsEvents(content)):
		r.Unreadable = append(r.Unreadable, filepath.Base(one.name))
		r.damage(len(content))
		r.Lost += eventsIn(content[min(headerBytes, len(content)):])
		return
	case one.moved == movedSome:
		return // the originals are all there
	case one.moved == movedAll:
		r.Held -= len(r.Loose)
		r.Loose = nil
	}
	if !one.whole {
		r.damage(headerBytes)
	}
	c := collector{r: r, producer: one.producer, next: one.first}
	tail := scan(content[headerBytes:], headerBytes, c.visit, c.skip)
	c.finish(content[tail:])
}

// readFile returns the content of a file, or so much of it. Segments are of bounded
// size, but a file that is not ours may not be.
func readFile(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(f, most))
	return content, errors.Join(err, f.Close())
}

func newProducer() (id [16]byte) {
	_, _ = rand.Read(id[:]) // crypto/rand.Read never fails
	return id
}
