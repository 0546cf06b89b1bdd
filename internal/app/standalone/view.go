package standalone

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
)

// view shows snapshots.
type view interface {
	draw(s snapshot)
	close()
}

// lines is the view for pipes, files and logs: one line when something changes.
type lines struct {
	w      io.Writer
	states map[string]string // by key
	ready  bool
}

func newLines(w io.Writer) *lines { return &lines{w: w, states: map[string]string{}} }

func (v *lines) draw(s snapshot) {
	for _, n := range s.notes {
		fmt.Fprintln(v.w, cli.Clean(n))
	}
	for _, l := range s.lines {
		state := l.state
		if l.health == "red" || l.health == "yellow" && l.state == "degraded" {
			state += ": " + steady(l.detail)
		}
		if before, known := v.states[l.key]; before == state || !known && (state == "waiting" || state == "unknown") {
			continue
		}
		v.states[l.key] = state
		where := ""
		if l.pid != 0 {
			where = fmt.Sprintf(" (pid %d", l.pid)
			if l.port != 0 {
				where += fmt.Sprintf(", port %d", l.port)
			}
			where += ")"
		}
		fmt.Fprintf(v.w, "%-12s %s%s\n", cli.Clean(l.name), cli.Clean(strings.TrimSuffix(state, ": ")), where)
	}
	if s.readyIn > 0 && !v.ready {
		v.ready = true
		fmt.Fprintf(v.w, "ready in %s\n", cli.Duration(s.readyIn))
		if s.url != "" {
			fmt.Fprintf(v.w, "open %s\n", s.url)
		}
	}
}

// steady cuts off the part of a reason that changes every second.
func steady(detail string) string {
	before, _, _ := strings.Cut(detail, "; starts again in ")
	before, _, _ = strings.Cut(before, " for ")
	return before
}

func (*lines) close() {}

// screen is the view for a terminal: it redraws a block of lines in place.
//
// A terminal that is resized lays lines out anew, each terminal in its own way, so
// that nobody can tell where the block is then. The visible part is cleared and what
// stood above the block, as far as it has room, written again with it. Moving up over
// a block that has grown by wrapping would leave a part of it behind at each step of a
// resize, and so push all else out of the scrollback.
type screen struct {
	e             *cli.Env
	size          func() (columns, rows int)
	paint         cli.Painter
	drawn         int      // lines of the block now on the terminal
	columns, rows int      // of the terminal when it was drawn
	above         []string // what stands above it, the last keepAbove lines
}

// keepAbove is how many lines above the block are known.
const keepAbove = 100

// newScreen returns a screen that is drawn below what has been printed so far.
func newScreen(e *cli.Env, printed string) *screen {
	v := &screen{e: e, paint: cli.PainterFor(e, e.Stdout), size: func() (columns, rows int) {
		columns, rows, ok := cli.Terminal(e.Stdout)
		if !ok {
			return 80, 24
		}
		return columns, rows
	}}
	if printed = strings.TrimSuffix(printed, "\n"); printed != "" {
		v.keep(strings.Split(printed, "\n")...)
	}
	return v
}

func (v *screen) keep(lines ...string) {
	v.above = append(v.above, lines...)
	v.above = v.above[max(0, len(v.above)-keepAbove):]
}

func (v *screen) draw(s snapshot) {
	columns, rows := v.size()
	block := v.block(s, columns)
	if len(block) > rows-1 {
		block = append(block[:max(0, rows-2)], "… "+cli.Counted(len(block)-rows+2, "more line", "more lines")+": "+cli.Typed(v.e.Home, "status"))
	}
	var b strings.Builder
	lines := s.notes
	for _, n := range s.notes {
		v.keep(cli.Clean(n))
	}
	switch {
	case v.drawn == 0:
	case columns != v.columns || rows != v.rows:
		b.WriteString("\x1b[H")
		lines = v.above[len(v.above)-min(len(v.above), max(len(s.notes), rows-1-len(block))):]
	default:
		fmt.Fprintf(&b, "\x1b[%dA", v.drawn)
	}
	b.WriteString("\r\x1b[J")
	for _, n := range lines {
		b.WriteString(cli.Truncate(cli.Clean(n), columns-1) + "\n")
	}
	for _, l := range block {
		b.WriteString(l + "\n")
	}
	v.drawn, v.columns, v.rows = len(block), columns, rows
	fmt.Fprint(v.e.Stdout, b.String())
}

func (v *screen) close() {}

// block lays the screen out.
func (v *screen) block(s snapshot, columns int) []string {
	width := columns - 1 // a full last column would wrap on some terminals
	head := "AMOSKYS"
	switch s.phase {
	case phaseStarting:
		head += " is starting"
	case phaseStopping:
		head += " is stopping: agents first, the hub last"
	default:
		if s.url != "" {
			head += "  " + s.url
		}
		head += "  up " + cli.Duration(s.uptime.Truncate(time.Second))
	}
	out := []string{v.paint.In("bold", cli.Truncate(head, width)), ""}
	out = append(out, v.table(s, width)...)
	out = append(out, "")
	if s.hub.LogState != "" {
		out = append(out, cli.Truncate(fmt.Sprintf("log %s: %s, %s · ack p99 %.1f ms · errors: %s",
			s.hub.LogState, cli.Counted(s.hub.LogEvents, "event", "events"), cli.Bytes(s.hub.LogBytes), s.hub.AckP99Ms, cli.Count(s.hub.ErrorsTotal)), width))
	}
	for _, l := range s.lines {
		if l.detail != "" {
			out = append(out, v.paint.In(l.health, cli.Truncate(cli.Clean(l.name+": "+l.detail), width)))
		}
	}
	if s.phase == phaseReady {
		next := "next: "
		if s.url != "" {
			next += "open " + s.url + " · "
		}
		next += "Ctrl-C stops all · " + cli.Typed(v.e.Home, "tail") + " shows events"
		out = append(out, v.paint.In("dim", cli.Truncate(next, width)))
	}
	return out
}

// table lists roles and agents, and colours their states after the columns are
// laid out, because colours have no width.
func (v *screen) table(s snapshot, width int) []string {
	t := cli.NewTable("", "STATE", ">PID", ">PORT", ">EV/S", ">RSS", ">CPU")
	for _, l := range s.lines {
		row := []any{"  " + l.name, l.state, "", "", l.rate, "", ""}
		if l.pid != 0 {
			row[2] = l.pid
		}
		if l.port != 0 {
			row[3] = l.port
		}
		if l.rss != 0 {
			row[5], row[6] = cli.Bytes(l.rss), fmt.Sprintf("%.1f%%", l.percent)
		}
		t.Row(row...)
	}
	lines := t.Lines()
	for i := range lines {
		lines[i] = cli.Truncate(lines[i], width)
		if i > 0 {
			l := s.lines[i-1]
			lines[i] = strings.Replace(lines[i], " "+l.state+" ", " "+v.paint.In(l.health, l.state)+" ", 1)
		} else {
			lines[i] = v.paint.In("dim", lines[i])
		}
	}
	return lines
}
