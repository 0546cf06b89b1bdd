package promapi_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/teststorage"

	"github.com/amoskys/amoskys/internal/metrics/promapi"
)

// BenchmarkDay asks for a hundred series over a day, of which there is a sample each 15
// seconds, as a page of Grafana would: with a value each two minutes.
func BenchmarkDay(b *testing.B) {
	const series, every, day = 100, 15_000, 24 * 3600 * 1000
	db := teststorage.New(b)
	defer db.Close()
	labelsOf := make([]labels.Labels, series)
	for i := range labelsOf {
		labelsOf[i] = labels.FromStrings("__name__", "flow_bytes_total", "agent", "flow", "host", fmt.Sprintf("host-%d", i))
	}
	for t := int64(0); t <= day; t += every { // in the order of time, as agents send
		app := db.Appender(b.Context())
		for i, l := range labelsOf {
			if _, err := app.Append(0, l, t, float64(t)*float64(i+1)/7); err != nil {
				b.Fatal(err)
			}
		}
		if err := app.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	api := mustAPI(b, promapi.Options{Queryable: db, Now: func() time.Time { return time.UnixMilli(day) }})
	for name, query := range map[string]string{
		"each": `flow_bytes_total`, "rate": `rate(flow_bytes_total[5m])`, "sum": `sum(rate(flow_bytes_total[5m]))`,
	} {
		b.Run(name, func(b *testing.B) {
			size := 0
			for b.Loop() {
				code, got := post(b, api, "query_range", "query", query, "start", "0", "end", "86400", "step", "120")
				if size = len(got); code != 200 {
					b.Fatal(got)
				}
			}
			b.ReportMetric(float64(size), "bytes/answer")
		})
	}
}
