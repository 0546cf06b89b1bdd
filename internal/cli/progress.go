package cli

import (
	"fmt"
	"io"
	"time"
)

// Progress shows how far a long command is, on one line that is rewritten in
// place. Where output is not a terminal it writes nothing. It is not safe for
// concurrent use.
type Progress struct {
	w       io.Writer
	now     func() time.Time
	columns int
	last    time.Time
	shown   bool
}

// progressEvery is how often the line changes at most.
const progressEvery = 100 * time.Millisecond

// NewProgress starts a progress line on w, usually e.Stderr.
func NewProgress(w io.Writer, now func() time.Time) *Progress {
	columns, _, ok := Terminal(w)
	if !ok {
		w = nil
	}
	return &Progress{w: w, now: now, columns: columns}
}

// Update shows label with done of total bytes; a total of 0 shows done alone.
func (p *Progress) Update(label string, done, total int64) {
	if total > 0 {
		p.show(fmt.Sprintf("%s  %3d%%  %s of %s", label, min(100, done*100/total), Bytes(done), Bytes(total)))
		return
	}
	p.show(fmt.Sprintf("%s  %s", label, Bytes(done)))
}

// Count shows label with done of total things; while both are 0, label alone.
func (p *Progress) Count(label string, done, total uint64) {
	switch {
	case total > 0:
		p.show(fmt.Sprintf("%s  %3.0f%%  %s of %s", label, min(100, 100*float64(done)/float64(total)), Count(done), Count(total)))
	case done > 0:
		p.show(label + "  " + Count(done))
	default:
		p.show(label)
	}
}

func (p *Progress) show(line string) {
	if p.w == nil || p.now().Sub(p.last) < progressEvery {
		return
	}
	p.last, p.shown = p.now(), true
	fmt.Fprintf(p.w, "\r\x1b[K%s", Truncate(line, p.columns-1))
}

// Done removes the line.
func (p *Progress) Done() {
	if p.w != nil && p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
