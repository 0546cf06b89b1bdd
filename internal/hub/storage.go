package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/clock"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/hub/admit"
	"github.com/amoskys/amoskys/internal/stream"
)

// Storage is the log together with what the hub remembers of its senders. It is
// opened before the hub, because the other readers of the log need it too, and
// closed after it.
type Storage struct {
	Log stream.Log
	// Clock tells what is old; nil where the options had none.
	Clock *clock.Clock

	ledger *admit.Ledger
	path   string
	took   time.Duration
}

// StorageOptions says how to open a Storage. Open, Config, Logger and Registerer
// are required.
type StorageOptions struct {
	// Open opens the log; wal.Opener makes such a function.
	Open       func(context.Context, stream.Options) (stream.Log, error)
	Config     Config
	Home       config.Home
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time // time.Now where nil
	Clock      *clock.Clock     // Now where nil
}

// OpenStorage opens the log, recovering it where needed, and rebuilds from its
// last segment what retries are held against. The caller closes it.
func OpenStorage(ctx context.Context, o StorageOptions) (*Storage, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	observed, err := newLogMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register metrics of the log: %w", err)
	}
	s := &Storage{path: o.Home.Path(o.Config.WAL.Path), Clock: o.Clock}
	s.ledger = admit.NewLedger(admit.LedgerOptions{Holds: s.holds})
	const mb = 1 << 20
	begin := time.Now()
	var age stream.Clock
	if o.Clock != nil {
		age = o.Clock
	}
	s.Log, err = o.Open(ctx, stream.Options{
		Dir: s.path, Now: o.Now, Clock: age, Logger: o.Logger,
		SegmentBytes:   int64(o.Config.WAL.RotationSizeMB) * mb,
		SegmentAge:     time.Duration(o.Config.WAL.RotationHours) * time.Hour,
		RetentionAge:   time.Duration(o.Config.WAL.RetentionDays * float64(24*time.Hour)),
		RetentionBytes: int64(o.Config.WAL.RetentionSizeMB) * mb,
		MinFreeBytes:   int64(o.Config.WAL.MinFreeMB) * mb,
		QueueBytes:     queueBytes(&o.Config),
		Checkpoint:     s.ledger.Checkpoint,
		Restore:        s.ledger.Restore,
		Replay:         s.replay,
		Observe:        observed.observe,
	})
	if err != nil {
		return nil, fmt.Errorf("open the log in %s: %w", s.path, err)
	}
	s.took = time.Since(begin)
	if err := o.Registerer.Register(newLogCollector(s.Log)); err != nil {
		return nil, errors.Join(fmt.Errorf("register metrics of the log: %w", err), s.Log.Close())
	}
	return s, nil
}

// queueBytes is the log's own bound. The hub's gate is the one that counts; this
// one leaves room for one batch that is larger than the gate.
func queueBytes(c *Config) int64 {
	return int64(c.Server.QueueMB)<<20 + 2*int64(c.Server.messageLimit())
}

// OpenTook returns how long the log took to open and recover.
func (s *Storage) OpenTook() time.Duration { return s.took }

// holds reports whether the log may hold records that came at t.
func (s *Storage) holds(t time.Time) bool { return s.Log == nil || !t.Before(s.Log.Stat().OldestTime) }

// forgottenFor is how long it is a reason for the state of the hub that producers had
// to be forgotten.
const forgottenFor = time.Hour

// reasons says what of the clock and of the ledger needs attention.
func (s *Storage) reasons(now time.Time) (out []string) {
	if s.Clock != nil {
		if doubt := s.Clock.Doubt(); doubt != "" {
			out = append(out, doubt)
		}
	}
	if f := s.ledger.Forgotten(); f.Count > 0 && now.Sub(f.Time) < forgottenFor {
		out = append(out, fmt.Sprintf("%d producer ids were forgotten while the log may hold their batches, the last of %s, which makes more of them than "+
			"the %d that are remembered of one certificate: a batch that it sends again would be stored twice", f.Count, clip(f.Publisher), s.ledger.PerPublisher()))
	}
	return out
}

// Path returns the folder of the log.
func (s *Storage) Path() string { return s.path }

// Close writes what was accepted, and closes the log.
func (s *Storage) Close() error {
	if err := s.Log.Close(); err != nil {
		return fmt.Errorf("close the log: %w", err)
	}
	return nil
}

// replay takes one record of the last segment.
func (s *Storage) replay(e *stream.Entry) error {
	switch {
	case e.Sequence != 0:
		s.ledger.Replay(e.Publisher, e.ProducerID, e.Sequence, e.Received)
	case e.Count == 1:
		for _, b := range e.Events() {
			if id, ok := idOf(b); ok {
				s.ledger.ReplayEvent(e.Publisher, id)
			}
		}
	}
	return nil
}

// logCollector reads the state of the log when it is scraped.
type logCollector struct {
	log stream.Log

	state, segments, bytes, free, first, next, quarantined, losses, lost *prometheus.Desc
}

func newLogCollector(l stream.Log) *logCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("amoskys_wal_"+name, help, labels, nil)
	}
	return &logCollector{
		log:         l,
		state:       desc("state", "1 for the state the log is in.", "state"),
		segments:    desc("segments", "Segments of the log."),
		bytes:       desc("size_bytes", "Size of all segments."),
		free:        desc("free_bytes", "Free space of the file system."),
		first:       desc("first_offset", "Offset of the oldest event."),
		next:        desc("next_offset", "Offset behind the newest durable event."),
		quarantined: desc("quarantined_segments", "Damaged segments that were set aside."),
		losses:      desc("open_losses", "Ranges that are gone, not by retention, and that nobody has accepted."),
		lost:        desc("lost_events", "Offsets in these ranges, where their number is known."),
	}
}

// Describe sends the descriptions of the metrics.
func (c *logCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.state, c.segments, c.bytes, c.free, c.first, c.next, c.quarantined, c.losses, c.lost} {
		out <- d
	}
}

// Collect sends the present values.
func (c *logCollector) Collect(out chan<- prometheus.Metric) {
	s := c.log.Stat()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, state := range []stream.State{stream.StateOK, stream.StateFull, stream.StateReadOnly, stream.StateFailed, stream.StateShown} {
		is := 0.0
		if s.State == state {
			is = 1
		}
		gauge(c.state, is, string(state))
	}
	gauge(c.segments, float64(s.Segments))
	gauge(c.bytes, float64(s.Bytes))
	gauge(c.free, float64(s.FreeBytes))
	gauge(c.first, float64(s.FirstOffset))
	gauge(c.next, float64(s.NextOffset))
	gauge(c.quarantined, float64(len(s.Quarantined)))
	gauge(c.losses, float64(len(s.Losses)))
	lost := 0.0
	for _, l := range s.Losses {
		if !l.Unknown {
			lost += float64(l.To - l.From)
		}
	}
	gauge(c.lost, lost)
}
