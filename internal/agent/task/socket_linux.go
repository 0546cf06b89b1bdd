package task

import (
	"fmt"
	"os"
	"path/filepath"
)

// maxSocketPath is what unix(7) has room for in sun_path, with its NUL.
const maxSocketPath = 107

// shorten returns a name for path that fits into the address of a Unix socket.
// A long one is named through a descriptor of its folder, which done closes.
func shorten(path string) (short string, done func(), err error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, fmt.Errorf("open folder of socket: %w", err)
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { _ = dir.Close() }, nil
}
