package keeper

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/obs"
)

// inPartition finds the day in the path of a file of the engine.
var inPartition = regexp.MustCompile(`[/\\]partitions[/\\](\d{8})\b`)

// inSource finds where in the engine's source a line was written: the one part of its
// words that may go into our log, as the rest may hold events.
var inSource = regexp.MustCompile(`\b(?:lib|app)/[\w/-]+\.go:\d+\b`)

// namelessStarts is after how many starts in vain, which no day was found guilty of,
// the newest day is set aside.
const namelessStarts = 3

// environmental reports whether words of an end say that no file is to blame for it.
func environmental(text string) bool {
	return slices.ContainsFunc([]string{
		"no space left on device", "disk quota exceeded", "too many open files", "cannot allocate memory", "out of memory",
		"cannot acquire lock", "address already in use", "read-only file system", "listen for the store", "remove the socket of before",
	}, func(word string) bool { return strings.Contains(text, word) })
}

// sourceOf says where in the engine's source words were written, but for its logger.
func sourceOf(text string) string {
	all := slices.DeleteFunc(inSource.FindAllString(text, -1), func(at string) bool { return strings.HasPrefix(at, "lib/logger/") })
	if len(all) == 0 {
		return "it did not say where"
	}
	return all[0]
}

// reasonOf says how a process ended that nobody asked to.
func reasonOf(end *child.Exit) string {
	if end.Signal == "SIGKILL" && end.Killed == 0 {
		return end.String() + ": by somebody, or by the kernel for want of memory (see dmesg)"
	}
	return end.String()
}

// answerCrash does what the end of the last process asks for:
//
//	its end                                        what is done
//	names a day                                    that day is set aside
//	is for want of space, memory, files or a lock  it is started again, after a pause
//	was a signal's                                 the same
//	names nothing, and a probe finds a day         that day is set aside
//	names nothing, and it never served, thrice     the newest day is set aside
//	names nothing else                             it is started again, after a pause
func (k *Keeper) answerCrash(ctx context.Context, crash child.Status, served bool) error {
	lines := crash.Lines
	if !slices.Contains(lines, crash.Words) {
		lines = append([]string{crash.Words}, lines...)
	}
	text := strings.Join(lines, "\n")
	where := sourceOf(text)
	k.logger.Error("the store's engine ended by itself", obs.KeyReason, reasonOf(crash.LastExit), "where", where, obs.KeyRestarts, crash.Restarts)
	if served {
		k.nameless = 0
	}
	if environmental(text) || crash.LastExit.Signal != "" {
		return nil
	}
	if m := inPartition.FindStringSubmatch(text); m != nil {
		return k.setAsideOnce(m[1], "the engine ended over its files ("+where+")", lines)
	}
	k.nameless++
	day, why, err := k.probe(ctx)
	if err != nil {
		k.logger.Warn("the store's days could not all be tried", obs.KeyError, err)
	}
	if day != "" {
		return k.setAsideOnce(day, "the engine ended when it was tried on this day alone ("+why+")", lines)
	}
	if served || k.nameless < namelessStarts {
		return nil
	}
	days, err := k.days()
	if err != nil || len(days) == 0 {
		return err
	}
	k.nameless = 0
	return k.setAsideOnce(days[len(days)-1], "the engine did not start, and no other day was found to be the reason", lines)
}
