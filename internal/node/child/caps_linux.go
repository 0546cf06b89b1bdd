package child

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// capabilityNames are the capabilities of capabilities(7) by number.
var capabilityNames = []string{ //nolint:gochecknoglobals // constant
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW",
	"CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
	"CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
	"CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
	"CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// Missing returns those of the named privileges that this process cannot give to
// a child.
func Missing(names []string) []string {
	held, err := permitted()
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		n := slices.Index(capabilityNames, name)
		return err == nil && n >= 0 && held&(1<<n) != 0
	})
}

// HeldBy names the effective capabilities of a process, as far as they have names.
func HeldBy(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil, fmt.Errorf("read the capabilities of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(text)) {
		set, is := strings.CutPrefix(line, "CapEff:")
		if !is {
			continue
		}
		bits, err := strconv.ParseUint(strings.TrimSpace(set), 16, 64)
		if err != nil {
			break
		}
		var held []string
		for n, name := range capabilityNames {
			if bits&(1<<n) != 0 {
				held = append(held, name)
			}
		}
		return held, nil
	}
	return nil, fmt.Errorf("read the capabilities of process %d: there are none", pid)
}

// permitted is the set of capabilities that this thread may use, as bits.
func permitted() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("read own capabilities: %w", err)
	}
	return uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32, nil
}

// confine prepares the calling thread for starting a child with at most the named
// capabilities, as far as they are held:
//
//	this process is | what the thread gives up                    | what the child gets
//	----------------+---------------------------------------------+--------------------
//	root            | the bounding set but for those and          | those, and
//	                | CAP_DAC_OVERRIDE, which cannot be had again | CAP_DAC_OVERRIDE
//	another user    | the ambient set                             | those, as ambient ones
//
// Root's child keeps CAP_DAC_OVERRIDE because the home may be another user's. The
// thread must not be used for anything else afterwards, nor be given back.
func confine(names []string, attr *syscall.SysProcAttr) error {
	held, err := permitted()
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("give up ambient capabilities: %w", err)
	}
	if os.Geteuid() == 0 {
		return bound(append(slices.Clone(names), "CAP_DAC_OVERRIDE"))
	}
	for _, name := range names {
		if n := slices.Index(capabilityNames, name); n >= 0 && held&(1<<n) != 0 {
			attr.AmbientCaps = append(attr.AmbientCaps, uintptr(n))
		}
	}
	return nil
}

// bound takes every capability but the named ones out of the thread's bounding
// set. Without CAP_SETPCAP, as in some containers, it changes nothing.
func bound(names []string) error {
	for n := range uintptr(64) {
		if int(n) < len(capabilityNames) && slices.Contains(names, capabilityNames[n]) {
			continue
		}
		switch err := unix.Prctl(unix.PR_CAPBSET_DROP, n, 0, 0, 0); {
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EPERM): // beyond the last there is, or not allowed
			return nil
		case err != nil:
			return fmt.Errorf("give up capability %d: %w", n, err)
		}
	}
	return nil
}
