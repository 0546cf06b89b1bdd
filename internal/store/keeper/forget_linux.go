package keeper

import (
	"os"

	"golang.org/x/sys/unix"
)

// forget has the kernel drop what was read of a file from memory, where nobody else has it
// mapped: the engine has what it answers from.
func forget(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }
