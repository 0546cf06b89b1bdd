// Package row turns an event into a row of the engine and back. A row is flat: texts
// under names of a closed set, which are those of the catalogue (event.FieldCatalog) and
// a few constants of this package, so that no event can invent a column. Whatever an
// event holds that its texts do not tell, such as messages that repeat, is in the row
// as well, as the event's own bytes: a row that went through the engine gives an event
// equal to that of the log. docs/store.md has the table.
package row

import (
	"slices"

	"github.com/amoskys/amoskys/internal/event"
)

// Names of a row that the catalogue does not have.
const (
	// Time is when the event happened, as the engine keeps it: RFC 3339 in UTC. It is
	// when the hub received an event whose own time is out of bounds.
	Time = "_time"
	// Message is the event's message, under the name by which the engine searches for
	// words without a field.
	Message = "_msg"
	// Offset is the event's place in the log, decimal.
	Offset = "offset"
	// Log is the number of the log that Offset is a place of, where that is not the first
	// that the store has read.
	Log = "log"
	// Logged is when the hub received it, in nanoseconds since 1970, decimal.
	Logged = "logged"
	// Publisher is the SPIFFE id of the certificate it came with.
	Publisher = "publisher"
	// EventTime is the event's own time (RFC 3339) where Time is not.
	EventTime = "event_time"
	// Exact is a JSON object of the values that the engine would give back changed, by
	// their fields' names; the fields themselves are there to be searched.
	Exact = "exact"
	// Encoded is the event's bytes (base64, not padded), where its attributes do not make
	// it whole.
	Encoded = "encoded"
	// Cut lists, joined by blanks, the fields whose values were too long for a row, which
	// end in CutMark; Encoded among them says that the event cannot be made again.
	Cut = "cut"
)

// CutMark ends a value that was cut.
const CutMark = "…"

// Streams returns the names of the fields that make a row's stream, in the order of
// their bytes.
func Streams() []string { return []string{"agent", "host", "type"} }

// Names lists every name that a row can have but Time: the closed set.
func Names() []string {
	names := []string{Message, Offset, Log, Logged, Publisher, EventTime, Exact, Encoded, Cut}
	for _, f := range event.FieldCatalog() {
		if name := columnOf(f); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// columnOf is the name that an attribute has in a row; the event's time has none, for
// it is Time.
func columnOf(f *event.Field) string {
	switch f.Path {
	case "time":
		return ""
	case "message":
		return Message
	case "publisher":
		return Publisher
	}
	return f.Name
}
