package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// WriteJSON writes v as one indented JSON object. Keep one result per command.
func WriteJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// WriteJSONLine writes v as JSON on one line, for output of many objects.
func WriteJSONLine(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// Table lays text out in columns. Cells are sanitised: control characters from
// outside cannot reach the terminal.
type Table struct {
	head  []string
	right []bool
	rows  [][]string
}

// NewTable starts a table. A heading that starts with '>' has its column aligned
// to the right, for numbers.
func NewTable(head ...string) *Table {
	t := &Table{right: make([]bool, len(head))}
	for i, h := range head {
		name, right := strings.CutPrefix(h, ">")
		t.head, t.right[i] = append(t.head, name), right
	}
	return t
}

// Row adds a row; values are written with fmt.Sprint.
func (t *Table) Row(cells ...any) {
	row := make([]string, len(t.head))
	for i := range min(len(cells), len(row)) {
		row[i] = Clean(fmt.Sprint(cells[i]))
	}
	t.rows = append(t.rows, row)
}

// Len is the number of rows.
func (t *Table) Len() int { return len(t.rows) }

// Write writes the headings and rows, two spaces between columns.
func (t *Table) Write(w io.Writer) error {
	for _, line := range t.Lines() {
		if _, err := io.WriteString(w, line+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// Lines gives the headings and rows, one string each, without line breaks.
func (t *Table) Lines() []string {
	widths := make([]int, len(t.head))
	all := append([][]string{t.head}, t.rows...)
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	lines := make([]string, 0, len(all))
	for _, row := range all {
		var b strings.Builder
		for i, cell := range row {
			if i > 0 {
				b.WriteString("  ")
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if t.right[i] {
				b.WriteString(pad + cell)
			} else {
				b.WriteString(cell + pad)
			}
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}

// Truncate shortens s to at most width runes, marking the cut with '…'.
func Truncate(s string, width int) string {
	if width <= 0 {
		return ""
	}
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// Bytes writes a size in bytes for people: "512 B", "1.5 MiB".
func Bytes[N int | int64 | uint64](n N) string {
	x, unit := float64(n), 0
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	for math.Abs(x) >= 1023.95 && unit < len(units)-1 {
		x, unit = x/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%.0f %s", x, units[unit])
	}
	return fmt.Sprintf("%.1f %s", x, units[unit])
}

// Count writes a whole number with separators between thousands: "1,234,567".
func Count[N int | int64 | uint64](n N) string {
	s := fmt.Sprintf("%d", n)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Counted writes a number with its noun: "1 fault", "1,234 faults".
func Counted[N int | int64 | uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// Rate writes a number per second: "0", "4.2", "594,000".
func Rate(perSecond float64) string {
	switch {
	case math.IsNaN(perSecond) || math.IsInf(perSecond, 0):
		return "-"
	case perSecond > -0.05 && perSecond < 0.05:
		return "0"
	case math.Abs(perSecond) < 100:
		return fmt.Sprintf("%.1f", perSecond)
	default:
		return Count(int64(math.Round(perSecond)))
	}
}

// Duration writes a duration with two units at most: "350ms", "12.5s", "3m20s",
// "2h5m", "4d3h".
func Duration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "-" + Duration(-d)
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	}
}
