//go:build unix

package state

import (
	"io/fs"
	"os"
	"syscall"
)

// isOurs says whether a file belongs to who runs this process.
func isOurs(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int64(s.Uid) == int64(os.Geteuid())
}
