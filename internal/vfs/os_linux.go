package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// maxPieces is the kernel's UIO_MAXIOV.
const maxPieces = 1024

func writeVec(f *os.File, pieces [][]byte, off int64) (int64, error) {
	var done int64
	fd := int(f.Fd())
	for len(pieces) > 0 {
		part := pieces[:min(len(pieces), maxPieces)]
		var want int64
		for _, p := range part {
			want += int64(len(p))
		}
		n, err := unix.Pwritev(fd, part, off+done)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return done, &fs.PathError{Op: "pwritev", Path: f.Name(), Err: err}
		}
		done += int64(n)
		if int64(n) == want {
			pieces = pieces[len(part):]
			continue
		}
		// A short write: finish this part piece by piece, where the real
		// reason (a full disk, most often) comes back as an error.
		rest, err := writeRest(f, part, int64(n), off+done)
		done += rest
		if err != nil {
			return done, err
		}
		pieces = pieces[len(part):]
	}
	return done, nil
}

// writeRest writes what lies behind the first skip bytes of pieces to off.
func writeRest(f *os.File, pieces [][]byte, skip, off int64) (int64, error) {
	for len(pieces) > 0 && skip >= int64(len(pieces[0])) {
		skip -= int64(len(pieces[0]))
		pieces = pieces[1:]
	}
	if len(pieces) == 0 {
		return 0, io.ErrShortWrite
	}
	n, err := f.WriteAt(pieces[0][skip:], off)
	if err != nil {
		return int64(n), err
	}
	m, err := writePieces(f, pieces[1:], off+int64(n))
	return int64(n) + m, err
}

func datasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
		return nil
	}
}

func preallocate(f *os.File, off, n int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, off, n)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return errors.ErrUnsupported
		case err != nil:
			return &fs.PathError{Op: "fallocate", Path: f.Name(), Err: err}
		}
		return nil
	}
}
