package reading

import (
	"slices"
	"strings"
	"sync"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Kind is what a metric's numbers mean.
type Kind uint8

// The kinds. Only what has _total at the end of its name is a counter.
const (
	Unknown Kind = iota
	Gauge
	Counter
	// Histogram is of the family, and of its samples, whose names end in _bucket, _sum and
	// _count.
	Histogram
)

// String is the kind's word in OpenMetrics.
func (k Kind) String() string {
	switch k {
	case Gauge:
		return "gauge"
	case Counter:
		return "counter"
	case Histogram:
		return "histogram"
	default:
		return unknown
	}
}

// Family is a metric with a meaning of its own.
type Family struct {
	Name, Help string
	// Unit is a UCUM unit, such as "By", "s" or "%"; empty for a plain number.
	Unit string
	Kind Kind
	// Labels are those that its samples may have, besides agent and host.
	Labels []string
	// Detail says that the exporter of the hub leaves it out, for its bound on series.
	Detail bool
}

// Families lists all, sorted by name. Batches may have others.
func Families() []Family {
	all := slices.Concat(processFamilies(), flowFamilies(), snmpFamilies(), deviceFamilies(), healthFamilies(), hubFamilies())
	slices.SortFunc(all, func(a, b Family) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// FamilyOf finds the family that a sample of a name belongs to, and false if it is one
// that only a batch knows of.
func FamilyOf(name string) (Family, bool) {
	f, ok := bySample()[name]
	return f, ok
}

var bySample = sync.OnceValue(func() map[string]Family { //nolint:gochecknoglobals // immutable once built
	names := map[string]Family{}
	for _, f := range Families() {
		if f.Kind != Histogram {
			names[f.Name] = f
			continue
		}
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			names[f.Name+part] = f
		}
	}
	return names
})

// kindOf is the kind of a sample of a batch, as its name and its agent say.
func kindOf(name string, declared pb.MetricType) Kind {
	if f, ok := FamilyOf(name); ok {
		return f.Kind
	}
	switch {
	case strings.HasSuffix(name, "_total"):
		return Counter
	case declared == pb.MetricType_METRIC_TYPE_GAUGE:
		return Gauge
	default:
		return Unknown
	}
}

func processFamilies() []Family {
	labels := []string{"pid", "process"}
	return []Family{
		{Name: "process_cpu_percent", Help: "CPU use of a process since the last reading, in percent of one core.", Unit: "%", Kind: Gauge, Labels: labels},
		{Name: "process_memory_bytes", Help: "Resident memory of a process.", Unit: "By", Kind: Gauge, Labels: labels},
		{Name: "process_file_descriptors", Help: "Open file descriptors of a process, where the agent may read them.", Kind: Gauge, Labels: labels},
		{Name: "process_thread_count", Help: "Threads of a process.", Kind: Gauge, Labels: labels},
		{Name: "process_state", Help: "1 for the state that a process is in.", Kind: Gauge, Labels: []string{"pid", "process", "state"}},
		{Name: "process_read_bytes_total", Help: "Bytes that a process had read from disks, where the agent may read them.", Unit: "By", Kind: Counter, Labels: labels, Detail: true},
		{Name: "process_write_bytes_total", Help: "Bytes that a process had written to disks, where the agent may read them.", Unit: "By", Kind: Counter, Labels: labels, Detail: true},
	}
}
