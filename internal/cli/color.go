package cli

import "io"

// Painter colours text, if it is true.
type Painter bool

// PainterFor colours what is written to w: a terminal, and nobody has set NO_COLOR to
// anything (https://no-color.org) or said that the terminal is a dumb one.
func PainterFor(e *Env, w io.Writer) Painter {
	_, _, terminal := Terminal(w)
	if !terminal || e.Lookup == nil {
		return false
	}
	no, _ := e.Lookup("NO_COLOR")
	kind, _ := e.Lookup("TERM")
	return no == "" && kind != "dumb"
}

// In is text in a style: green, yellow, red, magenta, cyan, bold or dim. Another style leaves it as
// it is.
func (p Painter) In(style, text string) string {
	code, ok := map[string]string{
		"green": "32", "yellow": "33", "red": "31", "magenta": "35", "cyan": "36", "bold": "1", "dim": "2",
	}[style]
	if !bool(p) || !ok || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
