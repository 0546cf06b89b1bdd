package backup

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWhatIsReadIsNotKept: a file that nobody had in memory is not there after it was read,
// and one that somebody had is.
func TestWhatIsReadIsNotKept(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789abcdef"), (2*behindWindow+12345)/16)
	for name, warm := range map[string]bool{"cold": false, "warm": true} {
		file := filepath.Join(t.TempDir(), name)
		if err := WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if !warm {
			if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
				t.Fatal(err)
			}
			if resident(f, 0, int64(len(content))) {
				t.Skip("this file system keeps everything in memory")
			}
		}
		got, r := make([]byte, len(content)), Behind(io.NewSectionReader(f, 0, int64(len(content))), f)
		_, err = io.ReadFull(r, got) // as a backup does, which meets no end
		if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, content) {
			t.Fatalf("%s: %d bytes, %v", name, len(got), err)
		}
		for at := int64(0); at < int64(len(content)); at += behindWindow {
			if resident(f, at, behindWindow) != warm {
				t.Errorf("%s: what lies at %d is in memory: %t", name, at, !warm)
			}
		}
	}
}
