package module

import (
	"iter"
	"slices"
	"strings"
)

// Sample is one value of one metric.
type Sample struct {
	// Name begins with "snmp_".
	Name string
	// Counter says that it only grows, until the device starts anew.
	Counter bool
	Unit    string
	// Labels are names and values by turns, without the device.
	Labels []string
	Value  float64
}

// maxLabel bounds a label's value, in bytes.
const maxLabel = 128

// Samples are the metrics of all that was read.
func (t *Tables) Samples() iter.Seq[Sample] {
	return func(yield func(Sample) bool) {
		for _, rows := range t.order {
			for i := range rows.List {
				if !t.samples(rows, &rows.List[i], yield) {
					return
				}
			}
		}
	}
}

// samples yields those of one row, and reports whether more are wanted.
func (t *Tables) samples(rows *Rows, row *Row, yield func(Sample) bool) bool {
	var labels []string
	for i := range rows.Columns {
		c := &rows.Columns[i]
		if c.Metric == "" || !row.Values[i].Known {
			continue
		}
		if labels == nil {
			labels = t.labels(rows, row)
		}
		s := Sample{
			Name: c.Metric, Counter: c.Type == Counter || c.Type == Counter64, Unit: c.Unit,
			Labels: labels, Value: row.Values[i].Float,
		}
		if !yield(s) {
			return false
		}
	}
	return true
}

// labels are the index of a row and the columns that its table names.
func (t *Tables) labels(rows *Rows, row *Row) []string {
	labels := make([]string, 0, 2*(len(rows.Index)+len(rows.Labels)))
	for i, part := range rows.Index {
		if i < len(row.Parts) {
			labels = append(labels, part.Name, cut(row.Parts[i]))
		}
	}
	for _, name := range rows.Labels {
		in, column := t.column(rows, name)
		other, ok := row, true
		if in != rows {
			other, ok = in.beginning(row.Index)
		}
		value := ""
		if ok {
			value = in.Text(other, column)
		}
		labels = append(labels, column, cut(value))
	}
	return labels
}

// beginning finds the row whose index is index, or begins it.
func (r *Rows) beginning(index string) (*Row, bool) {
	for {
		if row, ok := r.Find(index); ok {
			return row, true
		}
		end := strings.LastIndexByte(index, '.')
		if end < 0 {
			return nil, false
		}
		index = index[:end]
	}
}

// cut bounds a label's value at a whole character.
func cut(text string) string {
	if len(text) <= maxLabel {
		return text
	}
	end := maxLabel
	for end > 0 && text[end]&0xc0 == 0x80 {
		end--
	}
	return text[:end]
}

// Metrics are the names of all metrics of a module, sorted, with what they are.
func (m *Module) Metrics() []string {
	var out []string
	add := func(columns []Column) {
		for i := range columns {
			if columns[i].Metric != "" {
				out = append(out, columns[i].Metric)
			}
		}
	}
	for i := range m.Groups {
		add(m.Groups[i].Columns)
	}
	for i := range m.Tables {
		add(m.Tables[i].Columns)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
