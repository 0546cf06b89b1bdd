package child

import (
	"os"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/config"
)

// Supervised reports whether this process was started by another of ours.
func Supervised() bool { return os.Getenv(config.EnvSupervised) == "1" }

// LastEnd is why the process before this one ended by itself, empty where it did not.
func LastEnd() string { return os.Getenv(config.EnvLastEnd) }

// Environ is the environment for a child of ours under home: our own, without
// what names our role and would make every child the same agent, and without the
// service manager that waits for word of this process.
func Environ(home config.Home) []string {
	drop := []string{config.EnvSupervised, config.EnvLastEnd, config.HomeVariable, config.EnvRole, config.EnvAgentID, "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
	env := slices.DeleteFunc(os.Environ(), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.Contains(drop, name)
	})
	return append(env, config.EnvSupervised+"=1", config.HomeVariable+"="+string(home))
}
