package ask

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/tail"
)

// printer writes what is found. Rows come instead of events, never beside them.
type printer interface {
	event(e *pb.StoredEvent) error
	// rows prints rows; fields are their columns, empty where they are as before.
	rows(fields []string, rows []*pb.Row) error
	// flush writes what was given so far, end all there is.
	flush() error
	// end says whether all has come: what is not whole must not look so.
	end(whole bool) error
}

// newPrinter returns the printer of a format.
func newPrinter(e *cli.Env, o Options) (printer, error) {
	if !slices.Contains(Formats(), o.Format) {
		return nil, cli.Usagef("--format is one of %s, not %q", strings.Join(Formats(), ", "), o.Format)
	}
	columns, err := columnsOf(o.Fields)
	if err != nil {
		return nil, &cli.UsageError{Err: err}
	}
	switch {
	case o.Format == "parquet":
		return newParquetPrinter(e)
	case o.Format == "csv":
		if len(columns) == 0 {
			columns = named("time", "severity", "type", "host", "agent", "message", "offset", "logged_time", "publisher")
		}
		w := csv.NewWriter(e.Stdout)
		return &csvPrinter{w: w, columns: columns}, nil
	case o.Format == "text":
		wide := len(columns) == 0
		if wide {
			columns = named("time", "host", "agent", "type", "message")
		}
		width, _, terminal := cli.Terminal(e.Stdout)
		if !terminal {
			width = 0
		}
		return &textPrinter{w: e.Stdout, columns: columns, width: width, local: true}, nil
	case len(columns) > 0:
		if o.Format == "ecs" || o.Format == "ocsf" {
			return nil, cli.Usagef("--fields and --format %s exclude each other", o.Format)
		}
		return &linePrinter{w: e.Stdout, columns: columns}, nil
	case o.Format == "json":
		return &linePrinter{w: e.Stdout, print: tail.JSON(e.Stdout)}, nil
	case o.Format == "jsonl":
		return &linePrinter{w: e.Stdout, print: tail.Flat(e.Stdout, event.SchemaNative)}, nil
	}
	return &linePrinter{w: e.Stdout, print: tail.Flat(e.Stdout, event.Schema(o.Format))}, nil
}

// column is a field to print.
type column struct {
	name  string
	field *event.Field // nil for what the log knows
	key   string
}

// columnsOf finds fields by any of their names.
func columnsOf(names []string) ([]column, error) {
	var columns []column
	for _, name := range names {
		c := column{name: name}
		var ok bool
		if c.field, c.key, ok = event.FieldByName(name); !ok && name != "offset" && name != "logged_time" {
			text := fmt.Sprintf("--fields: there is no field %q", name)
			if nearest := event.Nearest(name); nearest != "" {
				text += fmt.Sprintf("; did you mean %q?", nearest)
			}
			return nil, fmt.Errorf("%s", text)
		}
		columns = append(columns, c)
	}
	return columns, nil
}

func named(names ...string) []column {
	columns, err := columnsOf(names)
	if err != nil {
		panic("ask: " + err.Error()) // our own names
	}
	return columns
}

// cells reads the columns of an event. Several values of one are joined by commas; a
// message that an event does not have is made up as pages show it.
func cells(attrs *event.Attrs, e *pb.StoredEvent, columns []column) ([]string, error) {
	if err := attrs.ReadStored(e.GetEvent(), e.GetPublisher()); err != nil {
		return nil, fmt.Errorf("read event %d: %w", e.GetOffset(), err)
	}
	out := make([]string, len(columns))
	for i, c := range columns {
		switch {
		case c.name == "offset":
			out[i] = strconv.FormatUint(e.GetOffset(), 10)
		case c.field == nil:
			out[i] = e.GetLoggedTime().AsTime().Format(time.RFC3339Nano)
		default:
			out[i] = strings.Join(valuesOf(attrs, c), ", ")
		}
		if out[i] == "" && c.field != nil && c.field.Name == "message" {
			if ev, err := event.Decode(e.GetEvent()); err == nil {
				out[i] = event.Summary(ev)
			}
		}
	}
	return out, nil
}

func valuesOf(attrs *event.Attrs, c column) []string {
	var values []string
	for i := range attrs.List {
		a := &attrs.List[i]
		switch {
		case a.ID != c.field.ID || c.key != "" && string(a.Key) != c.key:
		case a.Key != nil && c.key == "":
			values = append(values, string(a.Key)+"="+string(a.Value.Append(nil)))
		default:
			values = append(values, string(a.Value.Append(nil)))
		}
	}
	return values
}

// textPrinter prints a table for people.
type textPrinter struct {
	w       io.Writer
	columns []column
	width   int  // of the terminal; 0 cuts nothing
	local   bool // times are shown as here
	attrs   event.Attrs
	table   *cli.Table
	heads   bool // were printed
	fields  []string
}

func (p *textPrinter) event(e *pb.StoredEvent) error {
	row, err := cells(&p.attrs, e, p.columns)
	if err != nil {
		return err
	}
	if p.table == nil {
		heads := make([]string, len(p.columns))
		for i, c := range p.columns {
			heads[i] = strings.ToUpper(c.name)
		}
		p.table = cli.NewTable(heads...)
	}
	values := make([]any, len(row))
	for i, v := range row {
		if f := p.columns[i].field; f != nil && f.Type == event.FieldTime || p.columns[i].name == "logged_time" {
			v = localTime(v)
		}
		values[i] = v
	}
	p.table.Row(values...)
	return nil
}

// localTime shows a time as it is here, to the millisecond.
func localTime(text string) string {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return text
	}
	return at.Local().Format("2006-01-02 15:04:05.000")
}

func (p *textPrinter) rows(fields []string, rows []*pb.Row) error {
	if len(fields) > 0 && !slices.Equal(fields, p.fields) {
		if err := p.flush(); err != nil {
			return err
		}
		p.fields, p.heads = fields, false
	}
	if p.table == nil {
		heads := make([]string, len(p.fields))
		for i, name := range p.fields {
			if heads[i] = strings.ToUpper(name); numeric(rows, i) {
				heads[i] = ">" + heads[i]
			}
		}
		p.table = cli.NewTable(heads...)
	}
	for _, row := range rows {
		values := make([]any, len(row.GetValues()))
		for i, v := range row.GetValues() {
			values[i] = v
		}
		p.table.Row(values...)
	}
	return nil
}

// numeric reports whether a column has numbers alone.
func numeric(rows []*pb.Row, i int) bool {
	for _, row := range rows {
		if i < len(row.GetValues()) && row.GetValues()[i] != "" {
			if _, err := strconv.ParseFloat(row.GetValues()[i], 64); err != nil {
				return false
			}
		}
	}
	return len(rows) > 0
}

func (p *textPrinter) flush() error {
	if p.table == nil || p.table.Len() == 0 {
		return nil
	}
	lines := p.table.Lines()
	if p.heads {
		lines = lines[1:]
	}
	p.heads, p.table = true, nil
	for _, line := range lines {
		if p.width > 0 {
			line = cli.Truncate(line, p.width)
		}
		if _, err := io.WriteString(p.w, line+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func (p *textPrinter) end(bool) error { return p.flush() }

// linePrinter prints one JSON object a line.
type linePrinter struct {
	w       io.Writer
	print   func(*reader.Event) error
	columns []column // instead
	attrs   event.Attrs
	fields  []string
}

func (p *linePrinter) event(e *pb.StoredEvent) error {
	if p.print != nil {
		return p.print(&reader.Event{
			Offset: e.GetOffset(), Logged: e.GetLoggedTime().AsTime(), Publisher: e.GetPublisher(), Encoded: e.GetEvent(),
		})
	}
	row, err := cells(&p.attrs, e, p.columns)
	if err != nil {
		return err
	}
	names := make([]string, len(p.columns))
	for i, c := range p.columns {
		names[i] = c.name
	}
	return p.object(names, row)
}

func (p *linePrinter) rows(fields []string, rows []*pb.Row) error {
	if len(fields) > 0 {
		p.fields = fields
	}
	for _, row := range rows {
		if err := p.object(p.fields, row.GetValues()); err != nil {
			return err
		}
	}
	return nil
}

// object writes names with their values in order. Values are text, as the engine has
// them; what has none is left out.
func (p *linePrinter) object(names, values []string) error {
	line := []byte{'{'}
	for i, name := range names {
		if i >= len(values) || values[i] == "" {
			continue
		}
		if len(line) > 1 {
			line = append(line, ',')
		}
		for j, text := range []string{name, values[i]} {
			quoted, err := json.Marshal(text)
			if err != nil {
				return fmt.Errorf("print %s: %w", name, err)
			}
			if line = append(line, quoted...); j == 0 {
				line = append(line, ':')
			}
		}
	}
	_, err := p.w.Write(append(line, '}', '\n'))
	return err
}

func (*linePrinter) flush() error   { return nil }
func (*linePrinter) end(bool) error { return nil }

// csvPrinter prints RFC 4180, with the names of the columns first.
type csvPrinter struct {
	w       *csv.Writer
	columns []column
	attrs   event.Attrs
	heads   bool
	fields  []string
}

func (p *csvPrinter) event(e *pb.StoredEvent) error {
	if !p.heads {
		p.heads = true
		names := make([]string, len(p.columns))
		for i, c := range p.columns {
			names[i] = c.name
		}
		if err := p.w.Write(names); err != nil {
			return err
		}
	}
	row, err := cells(&p.attrs, e, p.columns)
	if err != nil {
		return err
	}
	return p.write(row)
}

func (p *csvPrinter) rows(fields []string, rows []*pb.Row) error {
	if len(fields) > 0 && !slices.Equal(fields, p.fields) {
		p.fields = fields
		if err := p.w.Write(fields); err != nil {
			return err
		}
	}
	for _, row := range rows {
		if err := p.write(row.GetValues()); err != nil {
			return err
		}
	}
	return nil
}

// write writes a row so that a spreadsheet runs none of its texts as a formula.
func (p *csvPrinter) write(row []string) error {
	safe := make([]string, len(row))
	for i, v := range row {
		if safe[i] = v; v != "" && strings.ContainsRune("=+@\t\r", rune(v[0])) || strings.HasPrefix(v, "-") && !isNumber(v) {
			safe[i] = "'" + v
		}
	}
	return p.w.Write(safe)
}

func isNumber(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	return err == nil
}

func (p *csvPrinter) flush() error {
	p.w.Flush()
	return p.w.Error()
}

func (p *csvPrinter) end(bool) error { return p.flush() }
