package node

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/amoskys/amoskys/internal/node/child"
)

// lackError keeps an agent off that needs privileges which the node cannot give.
type lackError struct{ privileges []string }

// Unwrap makes the child stay as it is.
func (*lackError) Unwrap() error { return child.ErrStay }

// Error says what to do: start the node so that it holds them.
func (e *lackError) Error() string {
	return fmt.Sprintf("off: needs %s: %s", strings.Join(e.privileges, ", "), e.command())
}

func (e *lackError) command() string {
	program := strings.Join(os.Args, " ")
	if runtime.GOOS != "linux" {
		return "sudo " + program
	}
	words := make([]string, len(e.privileges))
	for i, p := range e.privileges {
		words[i] = "+" + strings.ToLower(strings.TrimPrefix(p, "CAP_"))
	}
	caps := strings.Join(words, ",")
	return fmt.Sprintf("sudo setpriv --reuid %d --regid %d --init-groups --inh-caps %s --ambient-caps %s %s",
		os.Geteuid(), os.Getegid(), caps, caps, program)
}
