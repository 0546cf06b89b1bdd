//go:build unix

package vfs

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPipeInPlaceOfAFile is opened without waiting for whoever writes to it, and
// cannot be read.
func TestPipeInPlaceOfAFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Skip(err)
	}
	for how, open := range map[string]func(string) (File, error){"Open": OS{}.Open, "OpenRW": OS{}.OpenRW} {
		f, err := open(name)
		if err != nil {
			continue
		}
		if n, err := f.ReadAt(make([]byte, 1), 0); err == nil {
			t.Errorf("%s: read %d bytes", how, n)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
