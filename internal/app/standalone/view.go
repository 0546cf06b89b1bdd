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
	states map[string]string
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
		if before, known := v.states[l.name]; before == state || !known && (state == "waiting" || state == "unknown") {
			continue
		}
		v.states[l.name] = state
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
type screen struct {
	e     *cli.Env
	color bool
	drawn int // lines of the block now on the terminal
}

func newScreen(e *cli.Env) *screen {
	_, noColor := e.Lookup("NO_COLOR")
	return &screen{e: e, color: !noColor}
}

func (v *screen) draw(s snapshot) {
	columns, rows, ok := cli.Terminal(v.e.Stdout)
	if !ok {
		columns, rows = 80, 24
	}
	block := v.block(s, columns)
	if len(block) > rows-1 {
		block = append(block[:max(0, rows-2)], "… "+cli.Counted(len(block)-rows+2, "more line", "more lines")+": amoskys status")
	}
	var b strings.Builder
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.drawn)
	}
	b.WriteString("\r\x1b[J")
	for _, n := range s.notes {
		b.WriteString(cli.Truncate(cli.Clean(n), columns-1) + "\n")
	}
	for _, l := range block {
		b.WriteString(l + "\n")
	}
	v.drawn = len(block)
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
	out := []string{v.paint("bold", cli.Truncate(head, width)), ""}
	out = append(out, v.table(s, width)...)
	out = append(out, "")
	if s.hub.LogState != "" {
		out = append(out, cli.Truncate(fmt.Sprintf("log %s: %s, %s · ack p99 %.1f ms · errors: %s",
			s.hub.LogState, cli.Counted(s.hub.LogEvents, "event", "events"), cli.Bytes(s.hub.LogBytes), s.hub.AckP99Ms, cli.Count(s.hub.ErrorsTotal)), width))
	}
	for _, l := range s.lines {
		if l.detail != "" {
			out = append(out, v.paint(l.health, cli.Truncate(cli.Clean(l.name+": "+l.detail), width)))
		}
	}
	if s.phase == phaseReady {
		next := "next: Ctrl-C stops all · amoskys tail shows events"
		if s.url != "" {
			next = "next: open " + s.url + " · Ctrl-C stops all · amoskys tail shows events"
		}
		out = append(out, v.paint("dim", cli.Truncate(next, width)))
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
			lines[i] = strings.Replace(lines[i], " "+l.state+" ", " "+v.paint(l.health, l.state)+" ", 1)
		} else {
			lines[i] = v.paint("dim", lines[i])
		}
	}
	return lines
}

func (v *screen) paint(style, text string) string {
	if !v.color || text == "" {
		return text
	}
	code, ok := map[string]string{"green": "32", "yellow": "33", "red": "31", "bold": "1", "dim": "2"}[style]
	if !ok {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
