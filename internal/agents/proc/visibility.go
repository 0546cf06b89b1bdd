package proc

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// sight is what an agent may see of the processes of its host.
type sight struct {
	all     bool   // it holds CAP_SYS_PTRACE
	hidepid string // option of /proc that hides processes from it, or ""
	subset  bool   // /proc shows processes alone, and not the boot id
	user    int    // its effective user
	remedy  string // the command that gives it the rights
}

// blind says what the agent does not see, and the command that mends it; nil when it
// sees all, or all that any command could make it see. hidden of total processes may
// not be read in full.
func (s sight) blind(hidden, total int) error {
	var faults []string
	if s.subset {
		faults = append(faults, "/proc is mounted with subset=pid, so that ids of processes are not told apart between boots: sudo mount -o remount,subset= /proc")
	}
	switch {
	case s.hidepid != "":
		faults = append(faults, fmt.Sprintf("/proc is mounted with hidepid=%s, which hides other users' processes from user %d: %s", s.hidepid, s.user, s.remedy))
	case hidden > 0 && !s.all:
		faults = append(faults, fmt.Sprintf("%d of %d processes hide their program, folder and exit code from user %d: %s", hidden, total, s.user, s.remedy))
	case hidden > 0 && hidden*2 > total:
		faults = append(faults, fmt.Sprintf("%d of %d processes hide their program, folder and exit code although CAP_SYS_PTRACE is held: "+
			"they are of another user namespace, or a security module keeps them: run the agent on the host", hidden, total))
	}
	if len(faults) == 0 {
		return nil
	}
	return errors.New(strings.Join(faults, "; "))
}

// sighted counts the processes that are there, and those of them that may not be read
// in full. Threads of the kernel have nothing to hide, and zombies no more.
func (t *table) sighted() (hidden, total int) {
	for _, p := range t.byPID {
		if p.stat.vsize == 0 {
			continue
		}
		total++
		if p.facts.hidden {
			hidden++
		}
	}
	return hidden + len(t.denied), total + len(t.denied)
}

// procOptions returns the options of the mount at root, from the lines of
// /proc/PID/mountinfo (proc_pid_mountinfo(5)): those of the file system, behind the " - "
// that ends the optional fields. The last mount at a place hides those before.
func procOptions(mountinfo []byte, root string) (options []string) {
	for line := range bytes.Lines(mountinfo) {
		front, back, ok := strings.Cut(strings.TrimRight(string(line), "\n"), " - ")
		fields, tail := strings.Fields(front), strings.Fields(back)
		if !ok || len(fields) < 6 || len(tail) < 2 || fields[4] != root {
			continue
		}
		options = nil
		if tail[0] == "proc" && len(tail) > 2 {
			options = strings.Split(tail[2], ",")
		}
	}
	return options
}

// readOptions takes from the options of /proc what hides processes: hidepid as it is
// written, "" where it hides none, the group that sees them all the same, and whether
// there is more than processes (proc(5)).
func readOptions(options []string) (hidepid, gid string, subset bool) {
	gid = "0"
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		switch key {
		case "hidepid":
			if hidepid = clean([]byte(value), maxName); hidepid == "0" || hidepid == "off" {
				hidepid = ""
			}
		case "gid":
			gid = value
		case "subset":
			subset = value == "pid"
		}
	}
	return hidepid, gid, subset
}
