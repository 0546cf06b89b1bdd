package logsql

import (
	"fmt"
	"strings"

	"github.com/amoskys/amoskys/internal/event"
)

// SyntaxError says what is wrong with a query, where, and what to write instead.
type SyntaxError struct {
	// Position is where in the text, in bytes.
	Position int
	// Message says what is wrong, for people.
	Message string
	// Hint is what was probably meant, such as the nearest field name; empty where
	// nobody knows.
	Hint string
}

// Error is the message with the hint.
func (e *SyntaxError) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + ", did you mean " + e.Hint + "?"
}

// Mend says which part of the query, from one byte to another, to replace with the
// hint; ok is false where there is none.
func (e *SyntaxError) Mend(query string) (from, to int, ok bool) {
	if e.Hint == "" || e.Position > len(query) {
		return 0, 0, false
	}
	t, err := lexer{text: query}.scan(e.Position, inName)
	if err != nil || t.kind != tokWord && t.kind != tokString {
		return 0, 0, false
	}
	return t.pos, t.end, true
}

func faultAt(pos int, format string, args ...any) *SyntaxError {
	return &SyntaxError{Position: pos, Message: fmt.Sprintf(format, args...)}
}

// unknownField names the known field that is spelled most like name.
func unknownField(pos int, name string) *SyntaxError {
	err := faultAt(pos, "there is no field %q", name)
	err.Hint = event.Nearest(name)
	return err
}

// oneOf lists what could stand at a place, for messages.
func oneOf(values []string) string { return strings.Join(values, ", ") }

// misplaced says what to write for a sign right behind a word: people who know other
// languages compare without a colon, and begin with a pipe.
func (p *parser) misplaced(tg target, parts []string, t token) *SyntaxError {
	if _, _, known := event.FieldByName(parts[0]); known && tg.none() && len(parts) == 1 {
		sign, not := strings.CutPrefix(t.text, "!")
		switch sign {
		case "=", "~", ">", ">=", "<", "<=":
		case "==":
			sign = "="
		case "=~":
			sign = "~"
		default:
			sign = ""
		}
		if sign != "" {
			dash := ""
			if not {
				dash = "-"
			}
			return faultAt(t.pos, "%s is not expected here: a colon ends the name of a field, so write %s%s:%s…", t.describe(), dash, parts[0], sign)
		}
	}
	first, err := p.scan(0, inName)
	if _, pipe := pipeKinds()[strings.ToLower(first.text)]; err == nil && pipe && p.pipes == 0 && t.is("(") {
		return faultAt(t.pos, "%s is not expected here: a pipe stands behind |, so write * | %s …", t.describe(), first.text)
	}
	return faultAt(t.pos, "%s is not expected here: put the value in quotes, or a space in front", t.describe())
}
