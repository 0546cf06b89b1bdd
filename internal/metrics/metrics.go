// Package metrics is the memory of numbers: a reader of the log that writes the readings
// of all agents into a Prometheus TSDB under data/metrics, which PromQL is asked of.
package metrics

import (
	_ "github.com/prometheus/prometheus/promql" // the engine of PromQL
	_ "github.com/prometheus/prometheus/tsdb"   // its database
)
