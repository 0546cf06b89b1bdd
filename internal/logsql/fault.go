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
