package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/prometheus/prometheus/tsdb/record"
	"github.com/prometheus/prometheus/tsdb/wlog"

	"github.com/amoskys/amoskys/internal/obs"
)

// position is a place in the write-ahead log of the database: what ends at or before it was
// sent.
type position struct {
	Segment int   `json:"segment"`
	Offset  int64 `json:"offset"` // behind a record, in bytes
	// Samples is how many samples of the record behind it were sent, too.
	Samples int `json:"samples,omitempty"`
}

// before reports whether a place is before another.
func (p position) before(q position) bool {
	return cmp.Or(cmp.Compare(p.Segment, q.Segment), cmp.Compare(p.Offset, q.Offset), cmp.Compare(p.Samples, q.Samples)) < 0
}

// sound reports whether there can be such a place.
func (p position) sound() bool { return p.Segment >= 0 && p.Offset >= 0 && p.Samples >= 0 }

// nowhere is the position of who has got nowhere yet.
func nowhere() position { return position{Offset: -1} }

// tail reads the write-ahead log of the database for one receiver: first the series that
// it knows, then samples from a position on, and then what comes.
type tail struct {
	s       *sender
	dir     string
	decoder record.Decoder
	metrics *wlog.LiveReaderMetrics
	series  []record.RefSeries
	samples []record.RefSample
	begun   bool   // it has begun to send
	looked  string // the checkpoint that was read last
}

// Pauses: before the log is looked at again where nobody has told of a write, and before it
// is opened again where that failed.
const (
	lookEvery = time.Second
	openPause = time.Second
)

// follow reads until ctx ends. Where the log no longer has what comes next it begins at
// what there is, and counts a gap.
func (s *sender) follow(ctx context.Context) {
	for first := true; ctx.Err() == nil; first = false {
		t := &tail{
			s: s, dir: filepath.Join(s.e.o.Path, "wal"), decoder: record.NewDecoder(nil, slog.New(slog.DiscardHandler)), metrics: wlog.NewLiveReaderMetrics(nil),
		}
		if !first {
			s.forgetSeries()
		}
		err := t.run(ctx)
		if ctx.Err() != nil {
			return
		}
		s.log.DebugContext(ctx, "the log of the metrics is opened again", obs.KeyError, err)
		if t.begun && !errors.Is(err, fs.ErrNotExist) { // what cannot be read is passed over
			s.metrics.gaps.Inc()
			s.lose()
		}
		timer := time.NewTimer(openPause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// run reads on from where the log was left.
func (t *tail) run(ctx context.Context) error {
	oldest, newest, err := wlog.Segments(t.dir)
	if err == nil && newest < 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("look for the log of the metrics: %w", err)
	}
	from, elsewhere := t.s.from(), true
	size, err := sizeOf(t.dir, newest)
	switch {
	case err != nil:
		return err
	case from == nowhere():
		from = position{Segment: newest, Offset: size} // with what comes
	case from.Segment < oldest:
		t.s.metrics.gaps.Inc()
		from = position{Segment: oldest}
	case from.Segment > newest || from.Segment == newest && from.Offset > size: // it was replaced
		t.s.metrics.gaps.Inc()
		from = position{Segment: newest, Offset: size}
	default:
		elsewhere = false
	}
	t.s.begin(from, elsewhere)
	err = t.checkpoint(nil)
	for n := oldest; err == nil && ctx.Err() == nil; n++ {
		err = t.segment(ctx, n, from)
	}
	return err
}

func sizeOf(dir string, n int) (int64, error) {
	s, err := wlog.OpenReadSegment(wlog.SegmentName(dir, n))
	if err != nil {
		return 0, fmt.Errorf("open the log of the metrics: %w", err)
	}
	info, err := s.Stat()
	if err = errors.Join(err, s.Close()); err != nil {
		return 0, fmt.Errorf("open the log of the metrics: %w", err)
	}
	return info.Size(), nil
}

// segment reads one segment to its end: that of an old one, or when a newer one has begun.
func (t *tail) segment(ctx context.Context, n int, from position) (err error) {
	file, err := wlog.OpenReadSegment(wlog.SegmentName(t.dir, n))
	if err != nil {
		return fmt.Errorf("open the log of the metrics: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	r := wlog.NewLiveReader(slog.New(slog.DiscardHandler), t.metrics, file)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	at := position{Segment: n} // behind the record before
	for ended := n < from.Segment; ; {
		for r.Next() {
			next := position{Segment: n, Offset: r.Offset()}
			sent := !from.before(next)
			if from.Segment == n && from.Offset == at.Offset {
				at.Samples = from.Samples
			}
			if err = t.record(r.Record(), at, sent); err != nil {
				return err
			}
			if at = next; !sent {
				t.begun = true
				t.s.reached(at)
			}
		}
		if fault := r.Err(); fault != nil && !errors.Is(fault, io.EOF) {
			return fmt.Errorf("read the log of the metrics: %w", fault)
		}
		if ended || ctx.Err() != nil {
			return ctx.Err()
		}
		if _, newest, fault := wlog.Segments(t.dir); fault == nil && newest > n {
			ended = true // nothing is added to this one any more: once more to its end
			if err = t.forget(n); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.s.wake:
		case <-tick.C:
		}
	}
}

// errEnds is for an exporter that ends while a sample waits for room.
var errEnds = errors.New("the exporter ends")

// record takes the record behind a place; of samples that were sent before, those of the
// place among them, it is noted alone when they were.
func (t *tail) record(b []byte, at position, sent bool) (err error) {
	switch t.decoder.Type(b) {
	case record.Series:
		if t.series, err = t.decoder.Series(b, t.series[:0]); err == nil {
			t.s.storeSeries(t.series, at.Segment)
		}
	case record.Samples, record.SamplesV2:
		t.samples, err = t.decoder.Samples(b, t.samples[:0])
		switch {
		case sent:
			at.Samples, err = len(t.samples), nil // what of it cannot be read does not matter any more
		case err != nil:
			return fmt.Errorf("read a record of the log of the metrics: %w", err)
		}
		if !t.s.appendSamples(t.samples, at) {
			err = errEnds
		}
	default: // exemplars, metadata and native histograms are not sent
	}
	if err != nil {
		return fmt.Errorf("read a record of the log of the metrics: %w", err)
	}
	return nil
}

// checkpoint reads the series of the newest checkpoint: those whose records were in segments
// that are gone. seen gets the numbers of all, where it is not nil.
func (t *tail) checkpoint(seen map[uint64]bool) (err error) {
	dir, number, err := wlog.LastCheckpoint(t.dir)
	if errors.Is(err, record.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the checkpoint of the metrics: %w", err)
	}
	r, err := wlog.NewSegmentsReader(dir)
	if err != nil {
		return fmt.Errorf("open the checkpoint of the metrics: %w", err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	read := wlog.NewReader(r)
	for read.Next() {
		b := read.Record()
		if t.decoder.Type(b) != record.Series {
			continue
		}
		if t.series, err = t.decoder.Series(b, t.series[:0]); err != nil {
			return fmt.Errorf("read the checkpoint of the metrics: %w", err)
		}
		if seen == nil {
			t.s.storeSeries(t.series, number)
			continue
		}
		for i := range t.series {
			seen[uint64(t.series[i].Ref)] = true
		}
	}
	t.looked = dir
	if err := read.Err(); err != nil {
		return fmt.Errorf("read the checkpoint of the metrics: %w", err)
	}
	return nil
}

// forget forgets series that the log no longer has, once there is a new checkpoint.
func (t *tail) forget(n int) error {
	dir, number, err := wlog.LastCheckpoint(t.dir)
	if err != nil || dir == t.looked || number >= n {
		return nil //nolint:nilerr // there is none, or it is looked at with the next segment
	}
	seen := map[uint64]bool{}
	if err := t.checkpoint(seen); err != nil {
		return err
	}
	t.s.forgetSeriesIf(func(ref uint64, one *series) bool { return one.segment <= number && !seen[ref] })
	return nil
}
