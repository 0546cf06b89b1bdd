package tail

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
)

// decode reads a stored event and adds what the log knows of it.
func decode(e *reader.Event) (*pb.Event, error) {
	ev, err := event.Decode(e.Encoded)
	if err != nil {
		return nil, fmt.Errorf("read event %d: %w", e.Offset, err)
	}
	event.Attribute(ev, e.Publisher)
	return ev, nil
}

// from names the publisher where the rest of the line does not.
func from(ev *pb.Event) string {
	if event.IsFromItself(ev) {
		return ""
	}
	return "  [from " + cli.Clean(ev.GetPublisher()) + "]"
}

// severityStyle are the colours of severities; informational has none.
var severityStyle = map[pb.Severity]string{ //nolint:gochecknoglobals // a constant table
	pb.Severity_SEVERITY_LOW: "green", pb.Severity_SEVERITY_MEDIUM: "yellow",
	pb.Severity_SEVERITY_HIGH: "red", pb.Severity_SEVERITY_CRITICAL: "magenta",
}

// Text returns a printer of one line an event: time, severity, host, or whom it is
// about and who saw it, agent, type and what happened, and who published it where
// that is somebody else. Nothing in an event can move the cursor or start a new line.
func Text(w io.Writer, paint cli.Painter) func(*reader.Event) error {
	return func(e *reader.Event) error {
		ev, err := decode(e)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s  %s  %s  %s  %s  %s%s\n",
			paint.In("dim", event.Time(ev).Local().Format("2006-01-02 15:04:05.000")),
			paint.In(severityStyle[ev.GetSeverity()], fmt.Sprintf("%-13s", event.SeverityText(ev.GetSeverity()))),
			cli.Clean(event.Subject(ev)), paint.In("dim", cli.Clean(ev.GetAgent().GetId())), paint.In("cyan", cli.Clean(ev.GetType())),
			cli.Clean(event.Summary(ev)), paint.In("dim", from(ev)))
		return err
	}
}

// line is one event as JSON: what the hub added, and the event itself.
type line struct {
	Offset     uint64          `json:"offset"`
	LoggedTime time.Time       `json:"logged_time"`
	Publisher  string          `json:"publisher"`
	Event      json.RawMessage `json:"event"`
}

// JSON returns a printer of one JSON object a line.
func JSON(w io.Writer) func(*reader.Event) error {
	return func(e *reader.Event) error {
		ev, err := decode(e)
		if err != nil {
			return err
		}
		body, err := event.ToJSON(ev)
		if err != nil {
			return fmt.Errorf("print event %d: %w", e.Offset, err)
		}
		return cli.WriteJSONLine(w, line{
			Offset: e.Offset, LoggedTime: e.Logged, Publisher: e.Publisher, Event: body,
		})
	}
}

// Flat returns a printer of one flat JSON object a line, with the field names
// of a schema.
func Flat(w io.Writer, schema event.Schema) func(*reader.Event) error {
	var attrs event.Attrs
	return func(e *reader.Event) error {
		if err := attrs.ReadStored(e.Encoded, e.Publisher); err != nil {
			return fmt.Errorf("read event %d: %w", e.Offset, err)
		}
		return cli.WriteJSONLine(w, json.RawMessage(attrs.AppendJSON(nil, schema)))
	}
}
