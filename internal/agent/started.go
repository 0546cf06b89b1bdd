package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// StartedBy is the command that a person started, to which the rights of a process go
// back: amoskys-agent node on a watched host, amoskys up where that runs all. It goes from
// the process pid to its parents as long as they are programs of ours; root is /proc.
// Where that cannot be read it is amoskys up.
func StartedBy(root string, pid int) string {
	command := "amoskys up"
	for range 4 {
		folder := root + "/" + strconv.Itoa(pid)
		line, err := os.ReadFile(folder + "/cmdline")
		if err != nil {
			break
		}
		args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		if !strings.HasPrefix(filepath.Base(args[0]), "amoskys") {
			break
		}
		command = strings.Join(args, " ")
		status, err := os.ReadFile(folder + "/status")
		if err != nil {
			break
		}
		_, rest, _ := strings.Cut(string(status), "\nPPid:")
		parent, _, _ := strings.Cut(rest, "\n")
		if pid, err = strconv.Atoi(strings.TrimSpace(parent)); err != nil {
			break
		}
	}
	return command
}
