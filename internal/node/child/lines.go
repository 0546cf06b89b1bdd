package child

import (
	"bytes"
	"slices"
	"strings"
	"sync"
)

// Bounds on what is kept of a child's stderr.
const (
	maxLines    = 40
	maxLineSize = 1 << 10
)

// lineRing is an io.Writer that keeps the last lines written to it.
type lineRing struct {
	mu       sync.Mutex // guards what follows
	lines    []string
	partial  []byte
	panicked string // first line of a panic: its trace may push it out of lines
}

func newLineRing() *lineRing { return &lineRing{} }

// Write never fails; lines longer than maxLineSize are cut.
func (r *lineRing) Write(text []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(text)
	for len(text) > 0 {
		line, rest, ended := bytes.Cut(text, []byte{'\n'})
		if room := maxLineSize - len(r.partial); room > 0 {
			r.partial = append(r.partial, line[:min(room, len(line))]...)
		}
		if ended {
			r.add()
		}
		text = rest
	}
	return n, nil
}

func (r *lineRing) add() {
	if s := strings.TrimRight(string(r.partial), "\r "); s != "" {
		r.lines = append(r.lines, s)
		if strings.HasPrefix(s, "panic: ") || strings.HasPrefix(s, "fatal error: ") {
			r.panicked = s
		}
	}
	r.partial = r.partial[:0]
	if len(r.lines) > maxLines {
		r.lines = slices.Delete(r.lines, 0, len(r.lines)-maxLines)
	}
}

// words is the line that says most about an end: that of a panic, or the last.
func (r *lineRing) words() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.panicked != "":
		return r.panicked
	case len(r.partial) > 0:
		return string(r.partial)
	case len(r.lines) > 0:
		return r.lines[len(r.lines)-1]
	}
	return ""
}

func (r *lineRing) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines, r.partial, r.panicked = nil, nil, ""
}

func (r *lineRing) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Clone(r.lines)
	if len(r.partial) > 0 {
		out = append(out, string(r.partial))
	}
	return out
}
