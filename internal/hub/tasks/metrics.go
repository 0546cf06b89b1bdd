package tasks

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// metrics count runs that ended, by how.
type metrics struct {
	ended   *prometheus.CounterVec
	running prometheus.GaugeFunc
	results prometheus.GaugeFunc
}

func newMetrics(s *Service) *metrics {
	m := &metrics{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "amoskys_hub_tasks_total", Help: "Tasks that people ran and that ended, by how; refused is one that did not begin.",
		}, []string{"state"}),
		running: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "amoskys_hub_tasks_running", Help: "Tasks that people follow now.",
		}, func() float64 {
			s.mu.Lock()
			defer s.mu.Unlock()
			return float64(len(s.runs))
		}),
		results: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "amoskys_hub_task_results_transferring", Help: "Results of tasks that are fetched now.",
		}, func() float64 {
			s.mu.Lock()
			defer s.mu.Unlock()
			return float64(len(s.transfers))
		}),
	}
	for state := range pb.TaskState_name {
		if word := stateWord(pb.TaskState(state)); word != "unspecified" && word != "running" {
			m.ended.WithLabelValues(word)
		}
	}
	m.ended.WithLabelValues("refused")
	m.ended.WithLabelValues("lost")
	return m
}

func stateWord(state pb.TaskState) string {
	return strings.ToLower(strings.TrimPrefix(state.String(), "TASK_STATE_"))
}

// Register adds the metrics to a registry.
func (s *Service) Register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{s.metrics.ended, s.metrics.running, s.metrics.results} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}
