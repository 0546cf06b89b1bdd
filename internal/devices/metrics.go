package devices

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Why something that events tell is not in the inventory.
const (
	dropMalformed  = "malformed"  // no event; the hub admits none
	dropGap        = "gap"        // the log no longer had it
	dropTime       = "time"       // its time cannot be believed; that of the hub was taken
	dropUnobserved = "unobserved" // it tells of a device, and nobody observed that
	dropEmpty      = "empty"      // it has nothing about a device
	dropType       = "type"       // a type that is not known
	dropReading    = "reading"    // no room for a reading by SNMP
	dropHistory    = "history"    // no room for so much history
	dropHost       = "host"       // no room for one host more
)

func drops() []string {
	return []string{dropMalformed, dropGap, dropTime, dropUnobserved, dropEmpty, dropType, dropReading, dropHistory, dropHost}
}

// metrics are those of the inventory.
type metrics struct {
	events, saves, saveErrors prometheus.Counter
	dropped                   *prometheus.CounterVec
}

func newMetrics(in *Inventory, r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "amoskys_devices_" + name, Help: help})
	}
	m := &metrics{
		events:     counter("events_total", "Events that were folded into the inventory of devices."),
		saves:      counter("checkpoints_total", "Checkpoints of the inventory of devices that were written."),
		saveErrors: counter("checkpoint_errors_total", "Checkpoints of the inventory of devices that could not be written."),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "amoskys_devices_dropped_total", Help: "What events tell and the inventory of devices does not have, by reason.",
		}, []string{"reason"}),
	}
	for _, reason := range drops() {
		m.dropped.WithLabelValues(reason)
	}
	if r == nil {
		return m, nil
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "amoskys_devices_" + name, Help: help}, func() float64 {
			in.mu.Lock()
			defer in.mu.Unlock()
			return value()
		})
	}
	var err error
	for _, c := range []prometheus.Collector{
		m.events, m.saves, m.saveErrors, m.dropped,
		gauge("known", "Devices in the inventory.", func() float64 { return float64(in.state.book.Len()) }),
		gauge("refused", "Devices for which the inventory had no room.", func() float64 { return float64(in.state.book.Stats().Refused) }),
		gauge("history_lines", "Lines of history of all devices.", func() float64 { return float64(in.state.lines) }),
		gauge("reading_bytes", "Bytes of the newest readings by SNMP.", func() float64 { return float64(in.state.readingBytes) }),
	} {
		err = errors.Join(err, r.Register(c))
	}
	return m, err
}

func (m *metrics) drop(reason string, n uint64) { m.dropped.WithLabelValues(reason).Add(float64(n)) }
