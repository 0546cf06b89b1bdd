package ask

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/cli"
)

// metricsPrinter prints the answer to a question about metrics.
type metricsPrinter struct {
	e *cli.Env
	o MetricsOptions
}

// metricsRow is a series of an answer.
type metricsRow struct {
	Metric     map[string]string   `json:"metric"`
	Value      json.RawMessage     `json:"value"`
	Histogram  json.RawMessage     `json:"histogram"`
	Values     [][2]any            `json:"values"`
	Histograms [][]json.RawMessage `json:"histograms"`
}

func (p *metricsPrinter) print(a *metricsAnswer) error {
	switch {
	case a.Data.ResultType != "vector" && a.Data.ResultType != "matrix":
		return p.single(a.Data.Result)
	case p.o.JSON:
		return p.lines(a.Data.Result)
	}
	var rows []metricsRow
	if err := json.Unmarshal(a.Data.Result, &rows); err != nil {
		return fmt.Errorf("read the store's answer: %w", err)
	}
	if len(rows) == 0 {
		hint := "--since 24h for the last day"
		if strings.Contains(p.o.Query, "[") {
			hint += "; a window such as [5m] needs two readings: of flows and devices they are a minute or two apart"
		}
		fmt.Fprintf(p.e.Stderr, "no series has a value there (%s)\n", hint)
		return nil
	}
	if !ordered(p.o.Query) {
		slices.SortStableFunc(rows, func(x, y metricsRow) int { return cmp.Compare(sortKey(x.Metric), sortKey(y.Metric)) })
	}
	return p.table(rows, a.Data.ResultType == "matrix")
}

// single prints a number or a text that has no series.
func (p *metricsPrinter) single(result json.RawMessage) error {
	if p.o.JSON {
		_, err := fmt.Fprintf(p.e.Stdout, `{"metric":{},"value":%s}`+"\n", result)
		return err
	}
	text, err := valueOf(result)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.e.Stdout, cli.Clean(text))
	return err
}

// lines prints each series as the API has it, one a line.
func (p *metricsPrinter) lines(result json.RawMessage) error {
	var rows []json.RawMessage
	if err := json.Unmarshal(result, &rows); err != nil {
		return fmt.Errorf("read the store's answer: %w", err)
	}
	for _, row := range rows {
		if _, err := p.e.Stdout.Write(append(row, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// ordered reports whether a query orders its own answer.
func ordered(query string) bool {
	for _, f := range []string{"sort", "topk", "bottomk"} {
		if strings.HasPrefix(strings.TrimSpace(query), f) {
			return true
		}
	}
	return false
}

func sortKey(metric map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(metric)) {
		b.WriteString(name + "\x00" + metric[name] + "\x00")
	}
	return b.String()
}

// table prints a row for each series, with a column for each label that any has.
func (p *metricsPrinter) table(rows []metricsRow, isRange bool) error {
	seen := map[string]struct{}{}
	for _, r := range rows {
		for name := range r.Metric {
			seen[name] = struct{}{}
		}
	}
	names := slices.Sorted(maps.Keys(seen)) // __name__ stands before what small letters begin
	heads := make([]string, 0, len(names)+4)
	for _, name := range names {
		heads = append(heads, strings.ToUpper(strings.ReplaceAll(name, "__name__", "metric")))
	}
	if isRange {
		heads = append(heads, "VALUES", ">LEAST", ">MOST", ">LAST")
	} else {
		heads = append(heads, ">VALUE")
	}
	t, unit := cli.NewTable(heads...), unitOf(p.o.Query)
	for _, r := range rows {
		cells := make([]any, 0, len(heads))
		for _, name := range names {
			cells = append(cells, r.Metric[name])
		}
		more, err := r.cells(isRange, unit)
		if err != nil {
			return err
		}
		t.Row(append(cells, more...)...)
	}
	return t.Write(p.e.Stdout)
}

// cells are the values of a series for a table, in a unit.
func (r *metricsRow) cells(isRange bool, unit string) ([]any, error) {
	if !isRange {
		if r.Histogram != nil {
			return []any{"histogram (--json)"}, nil
		}
		text, err := valueOf(r.Value)
		return []any{short(text, unit)}, err
	}
	if len(r.Values) == 0 {
		return []any{"histograms (--json)", "", "", ""}, nil
	}
	points := make([]sparkPoint, 0, len(r.Values))
	least, most := math.Inf(1), math.Inf(-1)
	for _, v := range r.Values {
		at, isNumber := v[0].(float64)
		text, isText := v[1].(string)
		f, err := strconv.ParseFloat(text, 64)
		if !isNumber || !isText || err != nil {
			return nil, fmt.Errorf("read the store's answer: %v is no value", v)
		}
		points = append(points, sparkPoint{at, f})
		least, most = min(least, f), max(most, f)
	}
	last := points[len(points)-1].value
	return []any{sparkline(points, sparkWidth), inUnit(least, unit), inUnit(most, unit), inUnit(last, unit)}, nil
}

// valueOf reads the value of [time, value].
func valueOf(data json.RawMessage) (value string, err error) {
	var seconds float64
	if err := json.Unmarshal(data, &[]any{&seconds, &value}); err != nil {
		return "", fmt.Errorf("read the store's answer: %w", err)
	}
	return value, nil
}

// short is a number with as many digits as one reads.
func short(text, unit string) string {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	return inUnit(f, unit)
}

func number(f float64) string {
	const digits = 6
	if abs := math.Abs(f); f == math.Trunc(f) && abs < 1e15 {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return strconv.FormatFloat(f, 'g', digits, 64)
}

// sparkPoint is a value at a time, in Unix seconds.
type sparkPoint struct{ at, value float64 }

// sparkWidth is how many columns a sparkline has.
const sparkWidth = 40

// sparkline draws values as blocks, the mean of each part of the range, and nothing where
// there is none. Points are in the order of time.
func sparkline(points []sparkPoint, width int) string {
	blocks := []rune("▁▂▃▄▅▆▇█")
	begin, span := points[0].at, points[len(points)-1].at-points[0].at
	sums, counts := make([]float64, width), make([]float64, width)
	for _, p := range points {
		i := width - 1
		if span > 0 {
			i = min(int((p.at-begin)/span*float64(width)), width-1)
		}
		if !math.IsNaN(p.value) && !math.IsInf(p.value, 0) {
			sums[i] += p.value
			counts[i]++
		}
	}
	least, most := math.Inf(1), math.Inf(-1)
	for i := range sums {
		if counts[i] > 0 {
			sums[i] /= counts[i]
			least, most = min(least, sums[i]), max(most, sums[i])
		}
	}
	line := make([]rune, width)
	for i := range line {
		switch {
		case counts[i] == 0:
			line[i] = ' '
		case most == least:
			line[i] = blocks[0]
		default:
			line[i] = blocks[int((sums[i]-least)/(most-least)*float64(len(blocks)-1)+0.5)]
		}
	}
	return string(line)
}
