package hub

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/identity"
)

// expiry exports when the hub's own certificate and its authority end. It reads the
// files when it is scraped, so that a renewal shows at once.
type expiry struct {
	files identity.Files
	desc  *prometheus.Desc
}

func newExpiry(files identity.Files) *expiry {
	return &expiry{files: files, desc: prometheus.NewDesc(identity.ExpiryMetric, identity.ExpiryHelp, []string{"certificate"}, nil)}
}

// Describe implements prometheus.Collector.
func (e *expiry) Describe(ch chan<- *prometheus.Desc) { ch <- e.desc }

// Collect implements prometheus.Collector. A file that cannot be read has no sample.
func (e *expiry) Collect(ch chan<- prometheus.Metric) {
	for name, file := range map[string]string{"eventbus": e.files.Cert, "ca": e.files.CA} {
		if end, err := identity.EndOf(file); err == nil {
			ch <- prometheus.MustNewConstMetric(e.desc, prometheus.GaugeValue, float64(end.Unix()), name)
		}
	}
}
