package endpoint

import (
	"os"
	"os/exec"
	"syscall"

	"github.com/amoskys/amoskys/internal/node/child"
)

// mayBeRoot reports whether this process is root, or was it when a person called it and
// has gone on as the user whose home it acts on (see [cli.Env.BindHome]).
func mayBeRoot() bool {
	return os.Geteuid() == 0 || len(child.Missing([]string{"CAP_SETUID", "CAP_SETGID"})) == 0
}

// asRoot has a command run as root, where this process may be that.
func asRoot(cmd *exec.Cmd) {
	if os.Geteuid() != 0 && mayBeRoot() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{}}
	}
}
