package logsql

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"

	"github.com/amoskys/amoskys/internal/logsql/row"
)

// Errors of Matcher: what cannot be asked of one event as it comes.
var (
	ErrPipes    = errors.New("a live query cannot have pipes (|): they are for searches")
	ErrSubquery = errors.New("a live query cannot hold another query, as in(…|…) does: it is for searches")
)

// Matcher holds events as they come against a query, by the engine's own code. It is
// for one goroutine.
type Matcher struct {
	filter *logstorage.Filter // nil: every event matches
	timed  bool
	rows   *row.Writer
	fields []logstorage.Field
	time   []byte
}

// liveBounds believe the time of any event that a store would hold.
func liveBounds() row.Bounds {
	return row.Bounds{Past: 10 * 365 * 24 * time.Hour, Future: 24 * time.Hour}
}

// Matcher returns what holds single events against the query. Times in it that are
// relative to now are taken from this call on. The error is ErrPipes or ErrSubquery.
func (q *Query) Matcher() (*Matcher, error) {
	switch {
	case q.pipes:
		return nil, ErrPipes
	case q.subquery:
		return nil, ErrSubquery
	case q.All():
		return &Matcher{}, nil
	}
	f, err := logstorage.ParseFilter(q.live)
	if err != nil {
		return nil, fmt.Errorf("compile the query for live events: %w", err)
	}
	return &Matcher{filter: f, timed: strings.Contains(q.live, row.Time+":"), rows: row.NewWriter(liveBounds())}, nil
}

// Match reports whether an event of the log, which publisher sent and the hub took at
// logged, satisfies the query. One that cannot be read does not.
func (m *Matcher) Match(encoded []byte, publisher string, offset uint64, logged time.Time) bool {
	if m.filter == nil {
		return true
	}
	r, err := m.rows.Row(encoded, publisher, offset, logged)
	if err != nil {
		return false
	}
	m.fields = m.fields[:0]
	for _, f := range r.Fields {
		m.fields = append(m.fields, logstorage.Field{Name: f.Name, Value: text(f.Value)})
	}
	if m.timed {
		m.time = time.Unix(0, r.Time).UTC().AppendFormat(m.time[:0], time.RFC3339Nano)
		m.fields = append(m.fields, logstorage.Field{Name: row.Time, Value: text(m.time)})
	}
	return m.filter.MatchRow(m.fields)
}

// text is b as a string for as long as the row is valid: the filter keeps none.
func text(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // read only, and nobody keeps it
}
