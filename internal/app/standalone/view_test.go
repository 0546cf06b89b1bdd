package standalone

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
)

func noLookup(string) (string, bool) { return "", false }

// ready is a system with one agent that crashes.
func ready() snapshot {
	return snapshot{
		phase: phaseReady, url: "http://localhost:5001", uptime: 200 * time.Second, readyIn: 1300 * time.Millisecond,
		hub: remote.HubStatus{State: "ok", LogState: "ok", LogEvents: 12345, LogBytes: 5 << 20, AckP99Ms: 0.84, ErrorsTotal: 2},
		lines: []line{
			{key: "hub", name: "hub", state: "running", health: "green", pid: 100, port: 5000, rate: "1,234", rss: 30 << 20, percent: 1.25},
			{key: "dashboard", name: "dashboard", state: "running", health: "green", pid: 101, port: 5001, rss: 20 << 20},
			{key: "here/proc_agent", name: "proc_agent", state: "crashed", health: "red", port: 50002, rate: "0", detail: "port 50002 is already in use by nginx (pid 7), which is a long story to tell\x1b[2J"},
		},
	}
}

func TestScreen(t *testing.T) {
	v := newScreen(&cli.Env{Lookup: func(name string) (string, bool) { return "1", name == "NO_COLOR" }}, "")
	got := strings.Join(v.block(ready(), 80), "\n")
	want := `AMOSKYS  http://localhost:5001  up 3m20s

              STATE    PID   PORT   EV/S       RSS   CPU
  hub         running  100   5000  1,234  30.0 MiB  1.2%
  dashboard   running  101   5001         20.0 MiB  0.0%
  proc_agent  crashed       50002      0

log ok: 12,345 events, 5.0 MiB · ack p99 0.8 ms · errors: 2
proc_agent: port 50002 is already in use by nginx (pid 7), which is a long sto…
next: open http://localhost:5001 · Ctrl-C stops all · amoskys tail shows events`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, columns := range []int{20, 40, 80, 200} {
		for _, l := range v.block(ready(), columns) {
			if n := utf8.RuneCountInString(l); n >= columns {
				t.Errorf("a line of %d columns on a terminal of %d: %q", n, columns, l)
			}
			if strings.Contains(l, "\x1b") {
				t.Errorf("a control character came through: %q", l)
			}
		}
	}
}

func TestScreenColours(t *testing.T) {
	v := newScreen(&cli.Env{Lookup: noLookup}, "")
	v.paint = true
	got := strings.Join(v.block(ready(), 80), "\n")
	for _, want := range []string{"\x1b[32mrunning\x1b[0m", "\x1b[31mcrashed\x1b[0m", "\x1b[31mproc_agent: port"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%q", want, got)
		}
	}
}

func TestLines(t *testing.T) {
	var b bytes.Buffer
	v := newLines(&b)
	s := ready()
	s.lines[2].state, s.lines[2].detail = "running", ""
	s.lines[2].health = "green"
	s.notes = []string{"hello\x1b"}
	v.draw(s)
	s.notes = nil
	v.draw(s) // nothing new
	s.lines[2].state, s.lines[2].health, s.lines[2].detail = "crashed", "red", "out of luck; starts again in 3s"
	v.draw(s)
	s.lines[2].detail = "out of luck; starts again in 2s"
	v.draw(s) // only the countdown
	want := `hello⟨U+001B⟩
hub          running (pid 100, port 5000)
dashboard    running (pid 101, port 5001)
proc_agent   running
ready in 1.3s
open http://localhost:5001
proc_agent   crashed: out of luck
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

// terminal is as much of one as the screen uses, with a history of lines that have
// left it. It wraps what is too long, also again when it becomes narrower.
type terminal struct {
	columns, rows int
	lines         []string // the history and what is visible
	row           int      // of the cursor, in lines
}

func (t *terminal) top() int { return max(0, len(t.lines)-t.rows) }

func (t *terminal) Write(b []byte) (int, error) {
	text := string(b)
	for text != "" {
		var n int
		switch {
		case strings.HasPrefix(text, "\x1b[H"):
			t.row, text = t.top(), text[3:]
		case strings.HasPrefix(text, "\x1b[J"):
			t.lines, text = append(t.lines[:t.row:t.row], ""), text[3:]
			for len(t.lines) < t.rows { // what is cleared stays visible
				t.lines = append(t.lines, "")
			}
		case strings.HasPrefix(text, "\x1b["):
			if _, err := fmt.Sscanf(text, "\x1b[%dA", &n); err != nil {
				return 0, fmt.Errorf("%q is not known to this terminal", text)
			}
			t.row, text = max(t.top(), t.row-n), text[strings.IndexByte(text, 'A')+1:]
		case text[0] == '\r':
			text = text[1:]
		case text[0] == '\n':
			t.row, text = t.row+1, text[1:]
			for t.row >= len(t.lines) {
				t.lines = append(t.lines, "")
			}
		default:
			end := strings.IndexAny(text, "\x1b\r\n")
			t.lines[t.row] += text[:end]
			text = text[end:]
		}
	}
	return len(b), nil
}

// resize lays lines out anew.
func (t *terminal) resize(columns, rows int) {
	var out []string
	for i, l := range t.lines {
		if i == t.row {
			t.row = len(out)
		}
		r := []rune(l)
		for len(r) > columns {
			out, r = append(out, string(r[:columns])), r[columns:]
		}
		out = append(out, string(r))
	}
	for len(out) > rows && out[len(out)-1] == "" && len(out)-1 > t.row { // blank lines below the cursor go first
		out = out[:len(out)-1]
	}
	t.lines, t.columns, t.rows = out, columns, rows
}

// TestScreenWhileItIsResized drags a corner about: the block stands on the terminal
// once, the password of the first start too as long as there is room, and the history
// does not fill with copies.
func TestScreenWhileItIsResized(t *testing.T) {
	term := &terminal{columns: 100, rows: 30, lines: []string{"$ amoskys up", "    password: secret", ""}, row: 2}
	v := newScreen(&cli.Env{Stdout: term, Lookup: noLookup}, "    password: secret\n")
	v.size = func() (columns, rows int) { return term.columns, term.rows }
	v.draw(ready())
	for step := range 20 {
		term.resize(100-3*step, 30-step/2)
		v.draw(ready())
		v.draw(ready())
	}
	for step := range 20 {
		term.resize(43+3*step, 21+step/2)
		v.draw(ready())
	}
	all := strings.Join(term.lines, "\n")
	if n := strings.Count(all, "AMOSKYS"); n > 2 {
		t.Errorf("the block stands there %d times:\n%s", n, all)
	}
	visible := strings.Join(term.lines[term.top():], "\n")
	for _, once := range []string{"AMOSKYS", "password: secret", "next: "} {
		if n := strings.Count(visible, once); n != 1 {
			t.Errorf("%q is visible %d times:\n%s", once, n, visible)
		}
	}
}

// TestLinesOfSeveralHosts: agents of two hosts may have one name, and do not take
// turns at being news.
func TestLinesOfSeveralHosts(t *testing.T) {
	var b bytes.Buffer
	v := newLines(&b)
	s := snapshot{phase: phaseReady, lines: []line{
		{key: "web-1/proc_agent", name: "proc_agent", state: "running", health: "green"},
		{key: "web-2/proc_agent", name: "proc_agent", state: "crashed", health: "red", detail: "out of luck"},
	}}
	for range 10 {
		v.draw(s)
	}
	if want := "proc_agent   running\nproc_agent   crashed: out of luck\n"; b.String() != want {
		t.Errorf("%s\nwant\n%s", b.String(), want)
	}
}
