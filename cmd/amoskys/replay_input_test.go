package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/amoskys/amoskys/internal/flow/capture"
)

// TestReplayLeavesASilentPipe: Ctrl-C ends a replay of what says nothing, be it that nobody
// has opened the FIFO to write.
func TestReplayLeavesASilentPipe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := openCapture(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("a FIFO that nobody writes: %v", err)
	}
	writer, err := os.OpenFile(path, os.O_RDWR, 0) // lets go who waits
	if err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	if _, err := openCapture(t.Context(), t.TempDir()); err == nil || errors.Is(err, capture.ErrNotCapture) {
		t.Errorf("a folder: %v", err)
	}
}
