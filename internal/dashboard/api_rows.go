package dashboard

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// RowsAnswer is the table that a query with pipes makes.
type RowsAnswer struct {
	Columns []string   `json:"columns" nullable:"false"`
	Rows    [][]string `json:"rows" nullable:"false" doc:"One value for each column; empty where it has none."`
	More    bool       `json:"more" doc:"There are as many rows as were asked for, and may be more."`
	TookMS  float64    `json:"took_ms"`
	// CompleteTo is what the rows are made of.
	CompleteTo uint64 `json:"complete_to_offset" doc:"Everything before this offset was looked at."`
	Lacks      []Lack `json:"lacks" nullable:"false" doc:"What this answer does not have; none: it is complete."`
	Thinned    bool   `json:"thinned" doc:"Readings may be among the events looked at, and are thinned there: the metrics have those between, of processes the busiest."`
}

type rowsInput struct {
	Query string `query:"query" required:"true" maxLength:"16384" doc:"With pipes, in the language of docs/query.md, such as * | stats by (host) count() events."`
	Since string `query:"since" maxLength:"64" doc:"RFC 3339, or how long ago: 15m, 24h, 7d; 24h without."`
	Until string `query:"until" maxLength:"64" doc:"RFC 3339, or how long ago."`
	Limit uint32 `query:"limit" default:"1000" minimum:"1" maximum:"10000" doc:"At most so many rows."`
}

// Bounds of a table: it is held here whole.
const (
	maxRowColumns = 256
	maxRowBytes   = 16 << 20
)

// rows answers GET /api/query/rows.
func (s *Server) rows(ctx context.Context, in *rowsInput) (*RowsAnswer, error) {
	if in.Since == "" {
		in.Since = valuesRange
	}
	if p := checkQuery(in.Query); p != nil {
		return nil, p
	}
	since, until, err := s.bounds(in.Since, in.Until)
	if err != nil {
		return nil, err
	}
	ctx, cancel := askStored(ctx) // ends the stream, too
	defer cancel()
	stream, err := s.stored().Rows(ctx, &pb.RowsRequest{Query: in.Query, Since: since, Until: until, Limit: in.Limit})
	if err != nil {
		return nil, s.storeProblem(err)
	}
	t := table{answer: &RowsAnswer{Columns: []string{}, Rows: [][]string{}, Lacks: []Lack{}}}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, s.storeProblem(err)
		}
		if !t.take(part) {
			return nil, problem(http.StatusBadRequest, "this makes more than can be shown: count (| stats …), take fewer fields (| fields …) or fewer rows (| limit …)")
		}
	}
	t.square()
	t.arrange(in.Query)
	t.answer.More = len(t.answer.Rows) >= int(in.Limit)
	return t.answer, nil
}

// table joins the parts of an answer, each with columns of its own.
type table struct {
	answer *RowsAnswer
	// at is where the columns of the present parts are in the answer.
	at    []int
	bytes int
}

// take adds a part; false when that is too much.
func (t *table) take(part *pb.RowsResponse) bool {
	if fields := part.GetFields(); len(fields) > 0 {
		t.at = t.at[:0]
		for _, name := range fields {
			i := slices.Index(t.answer.Columns, name)
			if i < 0 {
				i = len(t.answer.Columns)
				t.answer.Columns = append(t.answer.Columns, name)
			}
			t.at = append(t.at, i)
		}
	}
	for _, row := range part.GetRows() {
		values := make([]string, len(t.answer.Columns))
		for i, v := range row.GetValues() {
			if i < len(t.at) {
				if v == "NaN" { // the mean of nothing
					v = ""
				}
				values[t.at[i]] = v
				t.bytes += len(v)
			}
		}
		t.answer.Rows = append(t.answer.Rows, values)
	}
	t.answer.Lacks = append(t.answer.Lacks, newLacks(part.GetLacks())...)
	if part.GetTook() != nil {
		t.answer.TookMS = tookMS(part.GetTook())
	}
	t.answer.Thinned = t.answer.Thinned || part.GetThinned()
	t.answer.CompleteTo = max(t.answer.CompleteTo, part.GetCompleteToOffset())
	return len(t.answer.Columns) <= maxRowColumns && t.bytes <= maxRowBytes
}

// square gives rows that came before a column an empty value for it.
func (t *table) square() {
	for i, row := range t.answer.Rows {
		if missing := len(t.answer.Columns) - len(row); missing > 0 {
			t.answer.Rows[i] = append(row, make([]string, missing)...)
		}
	}
}

// arrange puts columns into the order in which the query names them: the engine has
// them by the alphabet. Those that it does not name come last.
func (t *table) arrange(query string) {
	place := map[string]int{}
	for i, name := range t.answer.Columns {
		if place[name] = placeOf(query, name); place[name] < 0 {
			place[name] = len(query) + i
		}
	}
	order := make([]int, len(t.answer.Columns))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return place[t.answer.Columns[a]] - place[t.answer.Columns[b]] })
	arranged := func(values []string) []string {
		out := make([]string, len(order))
		for to, from := range order {
			out[to] = values[from]
		}
		return out
	}
	t.answer.Columns = arranged(t.answer.Columns)
	for i, row := range t.answer.Rows {
		t.answer.Rows[i] = arranged(row)
	}
}

// placeOf is where a name stands behind the first bar of a query, as a word; -1
// nowhere.
func placeOf(query, name string) int {
	inWord := func(b byte) bool {
		return b == '_' || b == '.' || b == '@' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= 0x80
	}
	if name == "" {
		return -1
	}
	for at := max(0, strings.IndexByte(query, '|')); at < len(query); {
		i := strings.Index(query[at:], name)
		if i < 0 {
			return -1
		}
		at += i
		end := at + len(name)
		if (at == 0 || !inWord(query[at-1])) && (end == len(query) || !inWord(query[end]) && query[end] != '(') {
			return at
		}
		at++
	}
	return -1
}
