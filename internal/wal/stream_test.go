package wal

import (
	"slices"
	"testing"

	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/stream/streamtest"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// TestStream: the log is a stream.Log.
func TestStream(t *testing.T) {
	streamtest.Run(t, func(t *testing.T) streamtest.Subject {
		disk := memfs.New()
		var log *Log
		open := func(t *testing.T) stream.Log {
			t.Helper()
			l, err := Opener(disk)(t.Context(), stream.Options{Dir: dir, Logger: quiet(), SegmentBytes: 1 << 10, RetentionBytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			log = l.(streamLog).Log
			return l
		}
		return streamtest.Subject{
			Log: open(t),
			Trim: func(t *testing.T, before stream.Offset) {
				t.Helper()
				v := log.view.Load()
				n := slices.IndexFunc(v.segs, func(s *segment) bool { return s.first > before })
				if n < 0 {
					n = len(v.segs)
				}
				if err := log.control(t.Context(), func() error { log.remove(n - 1); return log.sweep() }); err != nil {
					t.Fatal(err)
				}
			},
			Reopen: func(t *testing.T) stream.Log {
				t.Helper()
				if err := log.Close(); err != nil {
					t.Fatal(err)
				}
				return open(t)
			},
		}
	})
}
