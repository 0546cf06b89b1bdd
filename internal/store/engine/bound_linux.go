package engine

import (
	"fmt"
	"syscall"
)

// memoryMost is what the engine's process may take, in bytes, whatever it is asked: what
// it counts as a query's memory leaves out texts that pipes make longer. Several times
// what it uses otherwise.
const memoryMost = 2 << 30

// boundMemory has the process end where it would take more than memoryMost, instead of
// the machine: it is started again at once.
func boundMemory() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_DATA, &limit); err != nil {
		return fmt.Errorf("read the bound on memory: %w", err)
	}
	if limit.Cur <= memoryMost {
		return nil
	}
	limit.Cur = memoryMost
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &limit); err != nil {
		return fmt.Errorf("bound the engine's memory: %w", err)
	}
	return nil
}
