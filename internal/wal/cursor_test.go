package wal

import (
	"context"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// TestAppendWaitsForNoCursor: whatever is done to a cursor, and however long its
// disk takes for it, appends, maintenance and whoever asks for cursors go on.
func TestAppendWaitsForNoCursor(t *testing.T) {
	for name, act := range map[string]func(*Log, *Cursor) error{
		"commit":      func(_ *Log, c *Cursor) error { return c.Commit(4) },
		"commit back": func(_ *Log, c *Cursor) error { return c.Commit(1) },
		"open":        func(l *Log, _ *Cursor) error { _, err := l.Cursor("new", true); return err },
		"let go":      func(l *Log, _ *Cursor) error { _, err := l.Cursor("slow", false); return err },
		"remove":      func(l *Log, _ *Cursor) error { return l.RemoveCursor("slow") },
	} {
		t.Run(name, func(t *testing.T) {
			var stuck atomic.Bool
			begun, release := make(chan struct{}, 4), make(chan struct{})
			l := openLog(t, options(errorfs.Wrap(memfs.New(), func(op errorfs.Op) error {
				if stuck.Load() && (op.Kind == errorfs.Sync || op.Kind == errorfs.SyncDir) && strings.Contains(op.Path, cursorDir) {
					begun <- struct{}{}
					<-release
				}
				return nil
			})))
			for seq := range 4 {
				mustAppend(t, l, batch(seq, 1, 100))
			}
			cur, err := l.Cursor("slow", true)
			if err != nil {
				t.Fatal(err)
			}
			if err := cur.Commit(2); err != nil {
				t.Fatal(err)
			}
			stuck.Store(true)
			done := make(chan error, 1)
			go func() { done <- act(l, cur) }()
			<-begun
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := l.Maintain(ctx); err != nil {
				t.Errorf("maintenance waited: %v", err)
			}
			if _, err := l.Append(ctx, batch(4, 1, 100)); err != nil {
				t.Errorf("append waited: %v", err)
			}
			if ctx.Err() == nil {
				cur.Offset()
				l.Cursors()
			}
			close(release)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestHoldWhileCommitting: while a cursor's file is written, retention keeps what
// either end of its move needs, and a move that fails changes nothing.
func TestHoldWhileCommitting(t *testing.T) {
	var during func() error
	l := openLog(t, options(errorfs.Wrap(memfs.New(), func(op errorfs.Op) error {
		if during != nil && op.Kind == errorfs.Sync && strings.Contains(op.Path, cursorDir) {
			return during()
		}
		return nil
	})))
	for seq := range 10 {
		mustAppend(t, l, batch(seq, 1, 100))
	}
	cur, err := l.Cursor("store", true)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		from, to, held Offset
		fails          bool
	}{
		{from: 4, to: 8, held: 4},
		{from: 8, to: 3, held: 3},
		{from: 5, to: 7, held: 5, fails: true},
		{from: 7, to: 2, held: 2, fails: true},
	} {
		during = nil
		if err := cur.Commit(tt.from); err != nil {
			t.Fatal(err)
		}
		var held Offset
		during = func() error {
			held, _ = l.cursors.held()
			if tt.fails {
				return syscall.EIO
			}
			return nil
		}
		want := tt.to
		if tt.fails {
			want = tt.from
		}
		if err := cur.Commit(tt.to); (err != nil) != tt.fails {
			t.Errorf("commit from %d to %d: %v", tt.from, tt.to, err)
		}
		if got := cur.Offset(); held != tt.held || got != want {
			t.Errorf("from %d to %d: held %d meanwhile, want %d; stands at %d then, want %d", tt.from, tt.to, held, tt.held, got, want)
		}
	}
	during = func() error {
		if held, who := l.cursors.held(); held != 0 || who != "new" {
			t.Errorf("%q holds %d while a new cursor is made", who, held)
		}
		return syscall.EIO
	}
	if _, err := l.Cursor("new", true); err == nil || len(l.Cursors()) != 1 {
		t.Errorf("a cursor that could not be made: %v, %v", err, l.Cursors())
	}
}
