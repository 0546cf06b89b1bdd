package vlogs_test

import (
	"context"
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/procfs"

	"github.com/amoskys/amoskys/internal/bench/corpus"
	"github.com/amoskys/amoskys/internal/logsql/row"
	"github.com/amoskys/amoskys/internal/store/enginetest"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// processor is how many seconds of it this process and another have used.
func processor(tb testing.TB, pid int) (sum float64) {
	tb.Helper()
	for _, of := range []func() (procfs.Proc, error){procfs.Self, func() (procfs.Proc, error) { return procfs.NewProc(pid) }} {
		p, err := of()
		if err != nil {
			tb.Fatal(err)
		}
		stat, err := p.Stat()
		if err != nil {
			tb.Fatal(err)
		}
		sum += stat.CPUTime()
	}
	return sum
}

// insertion is a way to insert rows: it makes them of events, and sends them.
type insertion func(ctx context.Context, c *vlogs.Client, rows []*row.Row) error

// native sends rows in the engine's own format.
func native(pack *zstd.Encoder) insertion {
	var rows vlogs.Rows
	var tags []vlogs.Tag
	return func(ctx context.Context, c *vlogs.Client, all []*row.Row) error {
		rows.Reset()
		for _, r := range all {
			tags = tags[:0]
			for _, f := range r.Stream {
				tags = append(tags, vlogs.Tag(f))
			}
			rows.BeginBytes(tags, r.Time)
			for _, f := range r.Fields {
				rows.Field(f.Name, f.Value)
			}
		}
		if pack == nil {
			return c.Insert(ctx, &rows)
		}
		return c.Post(ctx, "/insert/native", "zstd", url.Values{"version": {"v1"}}, pack.EncodeAll(rows.Encoded(), nil))
	}
}

// jsonLines sends them as objects.
func jsonLines(ctx context.Context, c *vlogs.Client, all []*row.Row) error {
	var b []byte
	for _, r := range all {
		b = append(b, `{"_time":"`...)
		b = time.Unix(0, r.Time).UTC().AppendFormat(b, time.RFC3339Nano)
		b = append(b, '"')
		for _, f := range r.Fields {
			b = append(b, `,"`...)
			b = append(append(b, f.Name...), `":`...)
			quoted, err := json.Marshal(string(f.Value))
			if err != nil {
				return err
			}
			b = append(b, quoted...)
		}
		b = append(b, "}\n"...)
	}
	return c.Post(ctx, "/insert/jsonline", "", url.Values{"_stream_fields": {"agent,host,type"}}, b)
}

// BenchmarkInsert measures the processor that a recorded event takes to store, in both
// processes, by format. Each round stores all recorded events of 8 hosts, durably.
func BenchmarkInsert(b *testing.B) {
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		b.Fatal(err)
	}
	var hosts []*corpus.Sender
	for host := range 8 {
		name := "host-" + string(rune('a'+host))
		events, err := corpus.Load(name, "proc_agent")
		if err != nil {
			b.Fatal(err)
		}
		sender, err := events.NewSender(name, "proc_agent", 0)
		if err != nil {
			b.Fatal(err)
		}
		hosts = append(hosts, sender)
	}
	for _, format := range []struct {
		name   string
		insert insertion
	}{{"native", native(nil)}, {"zstd", native(pack)}, {"jsonline", jsonLines}, {"none", func(context.Context, *vlogs.Client, []*row.Row) error { return nil }}} {
		b.Run(format.name, func(b *testing.B) {
			k := enginetest.Start(b)
			now, offset, rows := time.Now(), uint64(0), 0
			used := -processor(b, k.State().PID)
			for b.Loop() {
				for _, host := range hosts {
					rows += storeAll(b, k.Client(), format.insert, host, now, &offset)
				}
				if err := k.Client().Barrier(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			used += processor(b, k.State().PID)
			b.ReportMetric(used*1e6/float64(rows), "cpu-us/row")
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// storeAll inserts all recorded events as of one host, 2,000 at a time.
func storeAll(b *testing.B, c *vlogs.Client, insert insertion, sender *corpus.Sender, now time.Time, offset *uint64) int {
	b.Helper()
	var writers [2000]*row.Writer
	var rows []*row.Row
	for i := range sender.Len() {
		w := &writers[len(rows)]
		if *w == nil {
			*w = row.NewWriter(row.Bounds{Past: 24 * time.Hour, Future: time.Hour})
		}
		r, err := (*w).Row(sender.AppendEvent(nil, now), "spiffe://test/agent", *offset, now)
		if err != nil {
			b.Fatal(err)
		}
		*offset++
		rows = append(rows, r)
		if len(rows) == len(writers) || i == sender.Len()-1 {
			if err := insert(b.Context(), c, rows); err != nil {
				b.Fatal(err)
			}
			rows = rows[:0]
		}
	}
	return sender.Len()
}
