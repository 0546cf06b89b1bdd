package standalone

import (
	"bytes"
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
			{name: "hub", state: "running", health: "green", pid: 100, port: 5000, rate: "1,234", rss: 30 << 20, percent: 1.25},
			{name: "dashboard", state: "running", health: "green", pid: 101, port: 5001, rss: 20 << 20},
			{name: "proc_agent", state: "crashed", health: "red", port: 50002, rate: "0", detail: "port 50002 is already in use by nginx (pid 7), which is a long story to tell\x1b[2J"},
		},
	}
}

func TestScreen(t *testing.T) {
	v := newScreen(&cli.Env{Lookup: func(name string) (string, bool) { return "1", name == "NO_COLOR" }})
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
	v := newScreen(&cli.Env{Lookup: noLookup})
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
	want := `hello·
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
