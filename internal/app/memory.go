package app

import (
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/obs"
)

// memoryPart is the part of the memory that a cgroup may have which the Go runtime
// is told to stay below: the rest is for what it does not count.
const memoryPart = 0.6

// limitMemory tells the Go runtime how much memory the process may have, when a
// cgroup bounds it and GOMEMLIMIT does not say otherwise. Near the limit the runtime
// collects more often, instead of letting the heap grow to twice what is in use. It
// is a help: what bounds the memory is what the hub admits.
func limitMemory(logger *slog.Logger) {
	bound := limit.GroupMemory()
	if os.Getenv("GOMEMLIMIT") != "" || bound == 0 {
		return
	}
	most := int64(float64(bound) * memoryPart)
	debug.SetMemoryLimit(most)
	logger.Info("memory is limited by the cgroup", obs.KeyBytes, bound, "runtime_bytes", most)
}
