package dashboard

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/parquet"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// endExport says in trailers that an export is whole.
func endExport(w http.ResponseWriter, events uint64, lacks []Lack, thinned bool) {
	text, err := json.Marshal(lacks)
	if err != nil {
		text = []byte("[]") // it is texts and numbers, which cannot fail
	}
	h := w.Header()
	h.Set("Export-State", "complete")
	h.Set("Export-Events", strconv.FormatUint(events, 10))
	h.Set("Export-Lacks", asciiJSON(text))
	h.Set("Export-Thinned", strconv.FormatBool(thinned))
}

// asciiJSON writes JSON so that a header may hold it.
func asciiJSON(text []byte) string {
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case r < 0x80:
			b.WriteRune(r)
		case r > 0xFFFF:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xD800+(r>>10), 0xDC00+(r&0x3FF))
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// exportWriter writes one form of export.
type exportWriter interface {
	begin() error
	event(*pb.StoredEvent) error
	// brokenOff is the last line of an export that is not whole.
	brokenOff(why string) error
	flush() error
	// end makes an export whole.
	end() error
}

// newExportWriter returns the writer of a format; one that is unknown has been
// refused before.
func newExportWriter(in *exportInput, w io.Writer) exportWriter {
	switch in.Format {
	case "csv":
		columns := in.Columns
		if len(columns) == 0 {
			columns = []string{"time", "severity", "type", "host", "agent", "message", "offset", "logged_time", "publisher"}
		}
		lines := csv.NewWriter(w)
		lines.UseCRLF = true
		return &csvExport{w: w, lines: lines, columns: columns, row: make([]string, len(columns))}
	case "parquet":
		return &parquetExport{parquet.NewWriter(w, parquet.Fields(in.Columns))}
	case "ndjson-ecs":
		return &jsonExport{w: w, schema: event.SchemaECS}
	case "ocsf":
		return &jsonExport{w: w, schema: event.SchemaOCSF}
	}
	return &jsonExport{w: w, schema: event.SchemaNative, own: true}
}

// jsonExport writes one flat object a line.
type jsonExport struct {
	w      io.Writer
	schema event.Schema
	// own adds what the log knows, which other schemas have no names for.
	own   bool
	attrs event.Attrs
	line  []byte
}

func (*jsonExport) begin() error { return nil }

func (j *jsonExport) event(e *pb.StoredEvent) error {
	if err := j.attrs.ReadStored(e.GetEvent(), e.GetPublisher()); err != nil {
		// It is in the log, and what else is exported is no worse for it.
		return j.object(map[string]any{"offset": e.GetOffset(), "unreadable": err.Error(), "encoded": e.GetEvent()})
	}
	j.line = j.line[:0]
	if j.own {
		j.line = append(j.line, `{"offset":`...)
		j.line = strconv.AppendUint(j.line, e.GetOffset(), 10)
		j.line = append(j.line, `,"logged_time":"`...)
		j.line = e.GetLoggedTime().AsTime().AppendFormat(j.line, time.RFC3339Nano)
		j.line = append(j.line, '"', ',')
		from := len(j.line)
		j.line = j.attrs.AppendJSON(j.line, j.schema)
		j.line = append(j.line[:from], j.line[from+1:]...) // its bracket is open already
	} else {
		j.line = j.attrs.AppendJSON(j.line, j.schema)
	}
	_, err := j.w.Write(append(j.line, '\n'))
	return err //nolint:wrapcheck // says only that the caller has left
}

func (j *jsonExport) object(v map[string]any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write a line of JSON: %w", err)
	}
	_, err = j.w.Write(append(text, '\n'))
	return err //nolint:wrapcheck // says only that the caller has left
}

func (j *jsonExport) brokenOff(why string) error {
	return j.object(map[string]any{"export_error": why})
}

func (*jsonExport) flush() error { return nil }

func (*jsonExport) end() error { return nil }

// csvExport writes RFC 4180.
type csvExport struct {
	w       io.Writer
	lines   *csv.Writer
	columns []string
	row     []string
}

func (c *csvExport) begin() error { return c.lines.Write(c.columns) } //nolint:wrapcheck // says only that the caller has left

func (c *csvExport) event(stored *pb.StoredEvent) error {
	e := newEvent(stored)
	for i, name := range c.columns {
		c.row[i] = cell(e.column(name))
	}
	return c.lines.Write(c.row) //nolint:wrapcheck // says only that the caller has left
}

func (c *csvExport) brokenOff(why string) error {
	return c.lines.Write([]string{"# " + why}) //nolint:wrapcheck // says only that the caller has left
}

func (c *csvExport) flush() error {
	c.lines.Flush()
	return c.lines.Error() //nolint:wrapcheck // says only that the caller has left
}

func (*csvExport) end() error { return nil }

// parquetExport writes Apache Parquet, whose footer comes last: without it nothing
// opens the file.
type parquetExport struct{ file *parquet.Writer }

func (*parquetExport) begin() error { return nil }

func (p *parquetExport) event(e *pb.StoredEvent) error { return p.file.Write(e) }

func (*parquetExport) brokenOff(string) error { return nil }

func (*parquetExport) flush() error { return nil }

func (p *parquetExport) end() error { return p.file.Close() }

// column is what an event has under a name.
func (e *Event) column(name string) any {
	switch name {
	case "offset":
		return strconv.FormatUint(e.Offset, 10)
	case "id":
		return e.ID
	case "time":
		return e.Time.UTC().Format(time.RFC3339Nano)
	case "logged_time":
		return e.LoggedTime.UTC().Format(time.RFC3339Nano)
	case "type":
		return e.Type
	case "severity":
		return e.Severity
	case "host":
		return e.Host
	case "agent":
		return e.Agent
	case "message":
		return e.Message
	case "publisher":
		return e.Publisher
	}
	return e.Fields[name]
}

// cell is a value as a spreadsheet shall read it: text that it would run as a
// formula has a quote before it.
func cell(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		if x != "" && strings.ContainsRune("=+-@\t\r", rune(x[0])) {
			return "'" + x
		}
		return x
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano)
	case []any, map[string]any:
		text, err := json.Marshal(x)
		if err != nil {
			return fmt.Sprint(x)
		}
		return string(text)
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}
