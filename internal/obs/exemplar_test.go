package obs

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// TestTraced: each bucket has the exemplar of one a second, and whatever is observed counts.
func TestTraced(t *testing.T) {
	t.Parallel()
	h := NewTraced(prometheus.HistogramOpts{Name: "x", Buckets: []float64{1, 10}})
	now := time.Unix(1_700_000_000, 0)
	observe := func(value float64, id string) {
		h.ObserveAs(value, now, func() prometheus.Labels { return prometheus.Labels{"event": id} })
	}
	observe(0.5, "a")
	observe(1, "too soon")
	observe(5, "b")
	now = now.Add(time.Second)
	observe(7, "c")
	observe(100, "d")
	now = now.Add(time.Second)
	observe(200, strings.Repeat("x", 200))
	h.ObserveAs(300, now.Add(2*time.Second), func() prometheus.Labels { return nil })
	var m dto.Metric
	if err := h.Write(&m); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range m.GetHistogram().GetBucket() {
		for _, l := range b.GetExemplar().GetLabel() {
			got = append(got, l.GetValue())
		}
	}
	if n := m.GetHistogram().GetSampleCount(); n != 7 || strings.Join(got, " ") != "a c d" {
		t.Errorf("%d observed, exemplars %v", n, got)
	}
}
