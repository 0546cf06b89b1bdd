package latest

import (
	"cmp"
	"strings"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Samples are the values of all series whose names begin with a prefix, in no order: what
// Page shows behind the hub's own, for who does not read its formats.
func (v *Values) Samples(prefix string) []*pb.MetricSample {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sweep()
	var out []*pb.MetricSample
	for _, f := range v.families {
		// The samples of a histogram have more at the end than their family.
		if !strings.HasPrefix(f.name, prefix) && !strings.HasPrefix(prefix, f.name) {
			continue
		}
		for _, s := range f.series {
			if strings.HasPrefix(s.name, prefix) {
				out = append(out, s.sample())
			}
		}
	}
	return out
}

// sample is a series for the wire.
func (s *series) sample() *pb.MetricSample {
	labels := make(map[string]string, len(s.labels)+2)
	for _, l := range s.labels {
		labels[strings.Clone(l.Name)] = strings.Clone(l.Value)
	}
	for name, value := range map[string]string{"agent": s.of.key.agent, "host": s.of.key.host} {
		if value != "" {
			labels[name] = value
		}
	}
	return &pb.MetricSample{
		Name: s.name, Labels: labels, Value: s.value, Type: s.family.kind.String(), Help: cmp.Or(s.family.help, "As agents tell it."),
	}
}
