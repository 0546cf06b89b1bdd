//go:build unix

package limit

import (
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// MaxDescriptors returns how many files and connections the process may have open,
// or 0 when that is not known or not bounded. Go raises it at the start to the hard
// limit, which ulimit -n, LimitNOFILE of systemd and the like set.
func MaxDescriptors() int {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil || l.Cur > 1<<30 {
		return 0
	}
	return int(l.Cur)
}

// OpenDescriptors returns how many are open, or 0 when that is not known. It reads
// a folder with one entry for each.
func OpenDescriptors() int {
	dir := "/dev/fd"
	if runtime.GOOS == "linux" {
		dir = "/proc/self/fd"
	}
	f, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return 0
	}
	return len(names) - 1 // f itself
}
