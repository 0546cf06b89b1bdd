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

// line is one event as JSON: what the hub added, and the event itself.
type line struct {
	Offset     uint64          `json:"offset"`
	LoggedTime time.Time       `json:"logged_time"`
	Publisher  string          `json:"publisher"`
	Event      json.RawMessage `json:"event"`
}

// JSON returns a printer of one JSON object a line.
func JSON(w io.Writer) func(*pb.StoredEvent) error {
	return func(e *pb.StoredEvent) error {
		var ev pb.Event
		if err := proto.Unmarshal(e.GetEvent(), &ev); err != nil {
			return fmt.Errorf("read event %d: %w", e.GetOffset(), err)
		}
		body, err := event.ToJSON(&ev)
		if err != nil {
			return fmt.Errorf("print event %d: %w", e.GetOffset(), err)
		}
		return cli.WriteJSONLine(w, line{
			Offset: e.GetOffset(), LoggedTime: e.GetLoggedTime().AsTime(), Publisher: e.GetPublisher(), Event: body,
		})
	}
}

// Flat returns a printer of one flat JSON object a line, with the field names
// of a schema.
func Flat(w io.Writer, schema event.Schema) func(*pb.StoredEvent) error {
	return func(e *pb.StoredEvent) error {
		var ev pb.Event
		if err := proto.Unmarshal(e.GetEvent(), &ev); err != nil {
			return fmt.Errorf("read event %d: %w", e.GetOffset(), err)
		}
		body, err := event.FlatJSON(&ev, schema)
		if err != nil {
			return fmt.Errorf("print event %d: %w", e.GetOffset(), err)
		}
		return cli.WriteJSONLine(w, body)
	}
}
