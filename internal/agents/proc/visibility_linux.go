package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sight implements source.
func (p *procfs) sight() sight {
	s := sight{all: holds(unix.CAP_SYS_PTRACE), user: os.Geteuid()}
	s.remedy = remedy(s.user, os.Getegid(), startedBy(p.root, os.Getppid()))
	mounts, err := os.ReadFile(p.root + "/self/mountinfo")
	if err != nil {
		return s // what is hidden is counted all the same
	}
	hidepid, gid, subset := readOptions(procOptions(mounts, p.root))
	s.subset = subset
	// The group does not help where only what may be traced is shown.
	if !s.all && (hidepid == "ptraceable" || hidepid == "4" || !inGroup(gid)) {
		s.hidepid = hidepid
	}
	return s
}

// startedBy is the command that a person started, to which this agent's rights go back:
// amoskys-agent node on a watched host, amoskys up where that runs all.
func startedBy(root string, pid int) string {
	command := "amoskys up"
	for range 4 {
		line, err := os.ReadFile(root + "/" + strconv.Itoa(pid) + "/cmdline")
		if err != nil {
			break
		}
		args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		if !strings.HasPrefix(filepath.Base(args[0]), "amoskys") {
			break
		}
		command = strings.Join(args, " ")
		var of stat
		if line, err = os.ReadFile(root + "/" + strconv.Itoa(pid) + "/stat"); err != nil || !parseStat(line, &of) {
			break
		}
		pid = of.ppid
	}
	return command
}

// remedy is how a process gets the right to read all others.
func remedy(uid, gid int, command string) string {
	if uid == 0 {
		return "give this root CAP_SYS_PTRACE: docker run --cap-add SYS_PTRACE, or CapabilityBoundingSet= of the unit"
	}
	const caps = "+sys_ptrace,+dac_read_search"
	return fmt.Sprintf("start amoskys as root, or so that it holds CAP_SYS_PTRACE: sudo setpriv --reuid %d --regid %d --init-groups --inh-caps %s --ambient-caps %s %s",
		uid, gid, caps, caps, command)
}

// holds reports whether a capability is effective.
func holds(capability int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[capability/32].Effective&(1<<(capability%32)) != 0
}

func inGroup(gid string) bool {
	n, err := strconv.Atoi(gid)
	if err != nil {
		return false
	}
	groups, err := unix.Getgroups()
	return n == os.Getegid() || err == nil && slices.Contains(groups, n)
}
