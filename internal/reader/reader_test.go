package reader_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/stream/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestReaderOfASparseLog: over a log whose offsets jump, with an entry removed, one
// damaged and one unreadable, a consumer that fails now and then gets every event and
// every gap, and each commit comes at its time.
func TestReaderOfASparseLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := streamtest.NewModel()
		for i := range 8 {
			if _, err := stream.Append(t.Context(), m, streamtest.Record(i, 2)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := m.OpenCursor(t.Context(), "c", true); err != nil {
			t.Fatal(err)
		}
		m.Trim(1 << 16)
		m.Damage(3 << 16)
		m.Block(5 << 16)
		var got []string
		var times []time.Duration
		begin, failures := time.Now(), 4
		registry := prometheus.NewRegistry()
		r, err := reader.New(reader.Options{
			Name: "test", Source: &reader.Local{Log: m}, Logger: slog.New(slog.DiscardHandler), Registerer: registry,
			Cursor: "c", Hold: true, MaxEvents: 2, CommitInterval: time.Minute, MaxPause: time.Second,
			Consumer: reader.Func(func(_ context.Context, b *reader.Batch) error {
				if b.Gap != nil {
					got = append(got, string(b.Gap.Cause))
					return nil
				}
				if b.Events[0].Offset == 4<<16 && failures > 0 {
					failures--
					times = append(times, time.Since(begin))
					return errors.New("the consumer's disk is full")
				}
				for _, e := range b.Events {
					got = append(got, fmt.Sprint(e.Offset>>16))
				}
				return nil
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		if s := r.Status(); s.State != stream.ReaderWaiting || s.Reason != "consume up to offset 262146: the consumer's disk is full" {
			t.Errorf("while the consumer fails: %+v", s)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		want := []string{"removed", "1", "1", "2", "2", "damaged", "4", "4", "unreadable", "6", "6", "7", "7"}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		if want := []time.Duration{0, 250 * time.Millisecond, 750 * time.Millisecond, 1750 * time.Millisecond}; !slices.Equal(times, want) {
			t.Errorf("tried at %v, want %v", times, want)
		}
		end := m.Stat().NextOffset
		if c := m.ListCursors(); len(c) != 1 || c[0].Offset != end {
			t.Errorf("a minute later the cursor stands at %+v, the end is %d", c, end)
		}
		if s := r.Status(); s.State != stream.ReaderOK || s.Offset != end || s.Lag != 0 || !s.Hold {
			t.Errorf("status %+v", s)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if families, err := registry.Gather(); err != nil || len(families) != 6 {
			t.Errorf("%d metrics, %v", len(families), err)
		}
	})
}

// TestReaderEndsWithItsLog: a log that is closed ends its readers, without an error.
func TestReaderEndsWithItsLog(t *testing.T) {
	m := streamtest.NewModel()
	r, err := reader.New(reader.Options{
		Name: "test", Source: &reader.Local{Log: m}, Logger: slog.New(slog.DiscardHandler),
		Consumer: reader.Func(func(context.Context, *reader.Batch) error { return nil }),
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- r.Run(t.Context()) }()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestOptions: what cannot be is said when the reader is made.
func TestOptions(t *testing.T) {
	good := reader.Options{
		Name: "x", Source: &reader.Local{Log: streamtest.NewModel()}, Logger: slog.New(slog.DiscardHandler),
		Consumer: reader.Func(func(context.Context, *reader.Batch) error { return nil }),
	}
	for name, change := range map[string]func(*reader.Options){
		"no name":             func(o *reader.Options) { o.Name = "" },
		"no source":           func(o *reader.Options) { o.Source = nil },
		"two places to begin": func(o *reader.Options) { o.Cursor, o.Start.Tail = "c", true },
	} {
		o := good
		if change(&o); func() error { _, err := reader.New(o); return err }() == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// watchedLog keeps the entry that its readers returned last.
type watchedLog struct {
	*streamtest.Model

	last *stream.Entry
}

type watchedReader struct {
	stream.Reader

	log *watchedLog
}

func (l *watchedLog) NewReader(ctx context.Context, from stream.Offset) (stream.Reader, error) {
	r, err := l.Model.NewReader(ctx, from)
	return &watchedReader{r, l}, err
}

func (r *watchedReader) TryNext() (*stream.Entry, bool, error) {
	e, ok, err := r.Reader.TryNext()
	if ok {
		r.log.last = e
	}
	return e, ok, err
}

// TestLocalUnpacksOnce: an entry that is given in several batches is unpacked for the
// first, and the rest of it comes from there.
func TestLocalUnpacksOnce(t *testing.T) {
	l := &watchedLog{Model: streamtest.NewModel()}
	record := streamtest.Record(0, 100)
	record.Codec, record.Payload = codec.S2, [][]byte{codec.S2.Pack(nil, slices.Concat(record.Payload...))}
	if _, err := stream.Append(t.Context(), l, record); err != nil {
		t.Fatal(err)
	}
	n, batches := 0, 0
	r, err := reader.New(reader.Options{
		Name: "test", Source: &reader.Local{Log: l}, Logger: slog.New(slog.DiscardHandler), MaxEvents: 30, NoFollow: true,
		Consumer: reader.Func(func(_ context.Context, b *reader.Batch) error {
			clear(l.last.Payload)
			n += len(b.Events)
			batches++
			return nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context()); err != nil || n != 100 || batches != 4 {
		t.Errorf("%d events in %d batches, %v", n, batches, err)
	}
}

// replacedLog is a hub whose log was moved away while a reader was at offset 100.
type replacedLog struct{ opened int }

func (l *replacedLog) Open(context.Context, reader.Request) (reader.Feed, stream.Offset, error) {
	l.opened++
	return &replacedFeed{first: l.opened == 1}, 0, nil
}
func (*replacedLog) Commit(context.Context, string, stream.Offset) error { return nil }
func (*replacedLog) Tail() stream.Offset                                 { return 0 }

type replacedFeed struct{ first, read bool }

func (f *replacedFeed) Next(ctx context.Context) (*reader.Batch, error) {
	switch {
	case f.read && f.first:
		return nil, errors.New("the hub went away")
	case f.read:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	f.read = true
	if f.first {
		return &reader.Batch{Events: []reader.Event{{Offset: 99}}, Next: 100, Tail: 100}, nil
	}
	return &reader.Batch{Events: []reader.Event{{Offset: 0}, {Offset: 1}}, Next: 2, Tail: 2}, nil
}
func (*replacedFeed) Close() error { return nil }

// TestReaderOfAnotherLog: events of a log that was begun anew are not taken for those
// that the reader has had.
func TestReaderOfAnotherLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []stream.Offset
		r, err := reader.New(reader.Options{
			Name: "test", Source: &replacedLog{}, Cursor: "c", Logger: slog.New(slog.DiscardHandler),
			Consumer: reader.Func(func(_ context.Context, b *reader.Batch) error {
				for _, e := range b.Events {
					got = append(got, e.Offset)
				}
				return nil
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
		if want := []stream.Offset{99, 0, 1}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if s := r.Status(); s.Offset != 2 {
			t.Errorf("status %+v", s)
		}
	})
}
