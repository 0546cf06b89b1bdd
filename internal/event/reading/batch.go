package reading

import (
	"cmp"
	"slices"
	"strings"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// batch reads a MetricBatch as it stands: names of metrics and labels are made valid.
func (r *Reader) batch(b []byte) bool {
	r.set.Source = SourceBatch
	f := fields{rest: b}
	for f.next() {
		if f.number != 1 || !f.isText() {
			continue
		}
		if len(r.set.Samples) >= MaxSamples || !r.metric(f.bytes) {
			r.set.Dropped++
		}
	}
	r.onlyOnce()
	return f.ok()
}

// IsReserved reports whether a metric of a batch has a name that an agent may not give: what
// the hub, the store and the runtime of agents say of themselves, and what the evaluation of
// rules writes.
func IsReserved(name string) bool {
	for _, prefix := range []string{"eventbus_", "amoskys_", "go_", "promhttp_", "scrape_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return name == "up" || name == "ALERTS" || name == "ALERTS_FOR_STATE"
}

// metric reads a Metric, and reports whether it has a sample.
func (r *Reader) metric(b []byte) bool {
	var name string
	var declared pb.MetricType
	var value float64
	at, good := len(r.labels), true
	f := fields{rest: b}
	for f.next() {
		switch {
		case f.number == 1 && f.isText():
			name = r.name(f.bytes, MaxName)
		case f.number == 2 && f.isText():
			key, text := firstTexts(f.bytes)
			good = r.label(key, text, at) && good
		case f.number == 3 && f.isNumber():
			declared = pb.MetricType(f.value)
		case f.number == 4 && f.isFloat():
			value = f.float()
		}
	}
	labels := r.labels[at:len(r.labels):len(r.labels)]
	slices.SortFunc(labels, func(a, b Label) int { return cmp.Compare(a.Name, b.Name) })
	twice := slices.CompactFunc(labels, func(a, b Label) bool { return a.Name == b.Name })
	if !f.ok() || !good || name == "" || len(twice) != len(labels) || textBytes(name, labels) > MaxText {
		r.labels = r.labels[:at]
		return false
	}
	r.add(name, kindOf(name, declared), labels, value)
	return true
}

// textBytes is how many bytes a name and labels have.
func textBytes(name string, labels []Label) int {
	n := len(name)
	for _, l := range labels {
		n += len(l.Name) + len(l.Value)
	}
	return n
}

// label keeps one label of a sample whose labels begin at a place, and reports whether
// the sample may have it. One without a value is none.
func (r *Reader) label(key, value []byte, at int) bool {
	if len(r.labels)-at >= MaxLabels {
		return false
	}
	l := Label{Name: r.name(key, MaxLabelName), Value: label(value)}
	switch {
	case l.Name == "" || len(l.Name) > 1 && l.Name[:2] == "__": // Prometheus' own
		return false
	case l.Value == "":
		return len(value) == 0
	case l.Name == "agent" || l.Name == "host": // as Prometheus calls what a target says itself
		l.Name = "exported_" + l.Name
	}
	r.labels = append(r.labels, l)
	return true
}

// name makes a name valid: it is of letters, digits and underscores, and does not begin
// with a digit. Colons are for the names of rules. It is empty for one that is too long.
func (r *Reader) name(b []byte, most int) string {
	if len(b) == 0 || len(b) > most {
		return ""
	}
	at := len(r.text)
	if b[0] >= '0' && b[0] <= '9' {
		r.text = append(r.text, '_')
	}
	for _, c := range b {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		default:
			c = '_'
		}
		r.text = append(r.text, c)
	}
	return view(r.text[at:len(r.text):len(r.text)])
}
