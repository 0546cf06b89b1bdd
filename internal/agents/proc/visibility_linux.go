package proc

import (
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/amoskys/amoskys/internal/agent"
)

// sight implements source.
func (p *procfs) sight() sight {
	s := sight{all: holds(unix.CAP_SYS_PTRACE), user: os.Geteuid()}
	s.remedy = remedy(s.user, os.Getegid(), agent.StartedBy(p.root, os.Getppid()))
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
