package keeper

import (
	"context"
	"regexp"
	"strings"

	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/obs"
)

// inPartition finds the day in the path of a file of the engine.
var inPartition = regexp.MustCompile(`/partitions/(\d{8})\b`)

// environmental are words of ends that no file is to blame for.
func environmental(text string) bool {
	for _, word := range []string{"no space left on device", "too many open files", "cannot allocate memory", "out of memory", "cannot acquire lock"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// answerCrash does what the end of the last process asks for.
func (k *Keeper) answerCrash(_ context.Context, crash child.Status, _ bool) error {
	lines := append([]string{crash.Words}, crash.Lines...)
	text := strings.Join(lines, "\n")
	day := ""
	if m := inPartition.FindStringSubmatch(text); m != nil && !environmental(text) {
		day = m[1]
	}
	k.logger.Error("the store's engine ended by itself", obs.KeyReason, crash.Reason, obs.KeyRestarts, crash.Restarts, "blamed_day", day)
	if day == "" {
		return nil
	}
	return k.setAsideOnce(day, "the engine ended by itself over its files", lines)
}
