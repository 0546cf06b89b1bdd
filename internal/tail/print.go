package tail

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Text returns a printer of one line an event: time, severity, host, agent, type
// and what happened. Nothing in an event can move the cursor or start a new line.
func Text(w io.Writer) func(*pb.StoredEvent) error {
	return func(e *pb.StoredEvent) error {
		var ev pb.Event
		if err := proto.Unmarshal(e.GetEvent(), &ev); err != nil {
			return fmt.Errorf("read event %d: %w", e.GetOffset(), err)
		}
		_, err := fmt.Fprintf(w, "%s  %-13s  %s  %s  %s  %s\n",
			event.Time(&ev).Local().Format("2006-01-02 15:04:05.000"), event.SeverityText(ev.GetSeverity()),
			cli.Clean(ev.GetHost().GetName()), cli.Clean(ev.GetAgent().GetId()), cli.Clean(ev.GetType()), cli.Clean(event.Summary(&ev)))
		return err
	}
}

// JSON returns a printer of one flat JSON object a line, with the attribute names
// of a schema (docs/events.md). What the hub added stands beside them: when it
// received the event, under the schema's name for that, and the event's offset and
// publisher.
func JSON(w io.Writer, schema event.Schema) func(*pb.StoredEvent) error {
	logged := "logged_time"
	if schema == event.SchemaECS {
		logged = "event.ingested"
	}
	return func(e *pb.StoredEvent) error {
		var ev pb.Event
		if err := proto.Unmarshal(e.GetEvent(), &ev); err != nil {
			return fmt.Errorf("read event %d: %w", e.GetOffset(), err)
		}
		flat, err := event.FlatJSON(&ev, schema)
		if err != nil {
			return fmt.Errorf("print event %d: %w", e.GetOffset(), err)
		}
		line := map[string]any{}
		attributes := map[string]json.RawMessage{}
		if err := json.Unmarshal(flat, &attributes); err != nil {
			return fmt.Errorf("print event %d: %w", e.GetOffset(), err)
		}
		for name, value := range attributes {
			line[name] = value
		}
		line["offset"], line["publisher"] = e.GetOffset(), e.GetPublisher()
		line[logged] = e.GetLoggedTime().AsTime().Format(time.RFC3339Nano)
		return cli.WriteJSONLine(w, line)
	}
}

// Printer returns the printer of a format: "text", "json", "ecs" or "ocsf".
func Printer(w io.Writer, format string) (func(*pb.StoredEvent) error, error) {
	switch s := event.Schema(format); {
	case format == "text":
		return Text(w), nil
	case s == event.SchemaNative, s == event.SchemaECS, s == event.SchemaOCSF:
		return JSON(w, s), nil
	default:
		return nil, fmt.Errorf("format %q is not known; valid: text, json, ecs, ocsf", format)
	}
}
