package engine

import (
	"fmt"
	"syscall"

	"github.com/amoskys/amoskys/internal/limit"
)

// boundMemory has the process end where it would take more than limit.EngineMemory, instead of
// the machine: it is started again at once.
func boundMemory() error {
	var bound syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_DATA, &bound); err != nil {
		return fmt.Errorf("read the bound on memory: %w", err)
	}
	most := uint64(limit.EngineMemory())
	if bound.Cur <= most {
		return nil
	}
	bound.Cur = most
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &bound); err != nil {
		return fmt.Errorf("bound the engine's memory: %w", err)
	}
	return nil
}
