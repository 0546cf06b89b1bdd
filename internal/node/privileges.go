package node

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/node/child"
)

// lackError keeps an agent off that needs privileges which the node cannot give. It
// names what more the agent has a use for, so that one start grants all.
type lackError struct{ privileges, uses []string }

// Unwrap makes the child stay as it is.
func (*lackError) Unwrap() error { return child.ErrStay }

// Error says what to do: start what runs the node so that it holds them.
func (e *lackError) Error() string {
	started := strings.Join(os.Args, " ")
	if runtime.GOOS == "linux" && strings.HasPrefix(filepath.Base(os.Args[0]), "amoskys") {
		started = agent.StartedBy("/proc", os.Getpid())
	}
	return fmt.Sprintf("off: needs %s: %s", strings.Join(e.privileges, ", "), Grant(slices.Concat(e.privileges, e.uses), started))
}

// Grant is the command line that starts program with the named privileges as the user
// who asks.
func Grant(privileges []string, program string) string {
	if runtime.GOOS != "linux" {
		return "sudo " + program
	}
	words := make([]string, len(privileges))
	for i, p := range privileges {
		words[i] = "+" + strings.ToLower(strings.TrimPrefix(p, "CAP_"))
	}
	caps := strings.Join(words, ",")
	return fmt.Sprintf("sudo setpriv --reuid %d --regid %d --init-groups --inh-caps %s --ambient-caps %s %s",
		os.Geteuid(), os.Getegid(), caps, caps, program)
}
