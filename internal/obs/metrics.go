package obs

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewRegistry returns a registry that holds the Go runtime's and this process's
// own metrics, and amoskys_build_info.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	info := ReadBuild()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "amoskys_build_info",
			Help:        "Version of the running program; the value is always 1.",
			ConstLabels: prometheus.Labels{"version": info.Version, "go_version": info.Go},
		}, func() float64 { return 1 }),
	)
	return r
}

// MetricsHandler serves a registry in the Prometheus text and OpenMetrics formats.
func MetricsHandler(g prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 8})
}
