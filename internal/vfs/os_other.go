//go:build !linux

package vfs

import (
	"errors"
	"os"
)

func writeVec(f *os.File, pieces [][]byte, off int64) (int64, error) {
	return writePieces(f, pieces, off)
}

// datasync is a full sync: Darwin's fsync does not reach the platter, and
// os.File.Sync uses F_FULLFSYNC there.
func datasync(f *os.File) error { return f.Sync() }

func preallocate(*os.File, int64, int64) error { return errors.ErrUnsupported }
