package loadavg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/task"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Agent publishes the load average.
type Agent struct {
	cfg  Monitoring
	o    agent.Options
	last atomic.Uint64 // bits of the last reading, for the metric
}

var _ agent.Tasker = (*Agent)(nil)

// New returns an agent that reads the configured file.
func New(cfg Monitoring, o agent.Options) (*Agent, error) {
	a := &Agent{cfg: cfg, o: o}
	gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "amoskys_loadavg_load", Help: "Load average of the last minute.",
	}, func() float64 { return math.Float64frombits(a.last.Load()) })
	if err := o.Registerer.Register(gauge); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return a, nil
}

// Run implements agent.Agent.
func (a *Agent) Run(ctx context.Context) error {
	tick := time.NewTicker(a.o.Interval)
	defer tick.Stop()
	for {
		load, err := a.read()
		a.o.Condition("load", err) // nil ends it
		if err == nil {
			// An error of Publish means that ctx has ended.
			_ = a.o.Publisher.Publish(ctx, loadEvent(load))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// RunTask implements agent.Tasker.
func (a *Agent) RunTask(_ context.Context, c *task.Call) error {
	load, err := a.read()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c, "%g\n", load)
	return err
}

func (a *Agent) read() (float64, error) {
	text, err := os.ReadFile(a.cfg.File)
	if err != nil {
		return 0, fmt.Errorf("read load: %w", err)
	}
	load, err := parseLoad(text)
	if err == nil {
		a.last.Store(math.Float64bits(load))
	}
	return load, err
}

var errNoLoad = errors.New("the file holds no load average")

// parseLoad returns the load of the last minute, the first number of
// /proc/loadavg.
func parseLoad(b []byte) (float64, error) {
	first, _, _ := bytes.Cut(b, []byte{' '})
	load, err := strconv.ParseFloat(string(first), 64)
	if err != nil || math.IsNaN(load) || math.IsInf(load, 0) || load < 0 {
		return 0, errNoLoad
	}
	return load, nil
}

// loadEvent carries one reading.
func loadEvent(load float64) *pb.Event {
	return &pb.Event{Type: event.TypeMetricBatch, Body: &pb.Event_Metrics{Metrics: &pb.MetricBatch{
		Metrics: []*pb.Metric{{Name: "system.cpu.load_average.1m", Type: pb.MetricType_METRIC_TYPE_GAUGE, Value: load, Unit: "{thread}"}},
	}}}
}
