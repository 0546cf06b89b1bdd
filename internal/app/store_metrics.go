package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/event/reading"
	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/metrics"
	"github.com/amoskys/amoskys/internal/metrics/promapi"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/store"
)

// newPromAPI returns the service that answers PromQL from the database of readings. Its
// answers have a part in the memory that answers about events have.
func newPromAPI(
	readings *metrics.DB, alerts *alerting, cfg *store.TSDBConfig, memory *limit.Budget, registry *prometheus.Registry, logger *slog.Logger,
) (*promapi.Service, error) {
	kept := map[string]string{
		"storage.tsdb.retention.time": fmt.Sprintf("%dd", cfg.RetentionDays), "storage.tsdb.retention.size": fmt.Sprintf("%dMB", cfg.RetentionSizeMB),
	}
	api, err := promapi.New(promapi.Options{
		Queryable: readings, Exemplars: readings, IsAway: metrics.IsAway, Families: func() []promapi.Family { return append(families(), ownFamilies(registry)...) }, Rules: alerts.groups, Stats: readings.Stats, Memory: memory,
		Warnings: func(from, to time.Time) []string { return incomplete(readings, from, to) },
		Settings: kept, Config: fmt.Sprintf("tsdb:\n  retention_days: %d\n  retention_size_mb: %d\n  max_series: %d\n", cfg.RetentionDays, cfg.RetentionSizeMB, cfg.MaxSeries),
		Caller:     func(ctx context.Context) string { return store.CallerOf(ctx).Key() },
		Version:    obs.ReadBuild().Version,
		Registerer: registry, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	return promapi.NewService(api), nil
}

// incomplete says what an answer of a time lacks: while the database has a fault, and where
// readings of that time are lost.
func incomplete(readings *metrics.DB, from, to time.Time) (list []string) {
	if state, reason := readings.Status(); state != "ok" {
		list = append(list, "not complete: "+reason)
	}
	if from.IsZero() && to.IsZero() {
		return list
	}
	for _, lack := range readings.Lacks(from, to) {
		if text := "not complete: metrics: " + lack; !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

// families are the metrics that we describe, with units as OpenMetrics names them.
func families() []promapi.Family {
	units := map[string]string{"By": "bytes", "s": "seconds", "%": "percent"}
	known := reading.Families()
	list := make([]promapi.Family, len(known))
	for i, f := range known {
		list[i] = promapi.Family{Name: f.Name, Help: f.Help, Unit: units[f.Unit], Type: f.Kind.String()}
	}
	return list
}
