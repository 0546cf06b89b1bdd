package packages_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// machine is a Debian with a systemd as its first process, in namespaces of its own:
// it has a loopback interface and no other, and its own files, processes and name.
type machine struct {
	t    *testing.T
	root string // its files
	pid  int    // of its systemd, here
}

// boot is how a machine begins: run by unshare(1) in fresh namespaces with the root
// folder as $1. Both layouts of control groups are there: the new one by itself, and
// the old one of which systemd needs its own hierarchy alone.
const boot = `set -e
root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for n in null zero full random urandom tty; do touch dev/$n; mount --bind /dev/$n dev/$n; done
mkdir -p dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs dev/shm
mount -t cgroup2 cgroup2 sys/fs/cgroup
echo packages-test >/proc/sys/kernel/hostname
mkdir -p old
pivot_root . old
umount -l /old
rmdir /old 2>/dev/null || true
exec env -i container=unshare PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=console --log-level=warning >/dev/null 2>&1
`

// bootMachine boots one from the files in base, which it leaves as they are.
func bootMachine(t *testing.T, base string) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{t: t, root: filepath.Join(dir, "root")}
	for _, d := range []string{"root", "layer"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// The changes lie in memory: an overlay has no upper folder on another overlay.
	m.host("mount", "-t", "tmpfs", "tmpfs", filepath.Join(dir, "layer"))
	t.Cleanup(func() { m.host("umount", "-l", filepath.Join(dir, "layer")) })
	for _, d := range []string{"upper", "work"} {
		if err := os.Mkdir(filepath.Join(dir, "layer", d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.host("mount", "-t", "overlay", "overlay", "-o", fmt.Sprintf("lowerdir=%s,upperdir=%s/layer/upper,workdir=%[2]s/layer/work", base, dir), m.root)
	t.Cleanup(func() { m.host("umount", "-l", m.root) })

	group := cgroup(t)
	cmd := exec.Command("sh", "-c", `echo $$ >"$0/cgroup.procs"; exec unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child sh -c "$1" boot "$2"`, group, boot, m.root)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // its child, and so all of them, ends with it
		<-ended
	})
	m.pid = m.first(cmd.Process.Pid, ended, &said)
	m.until(time.Minute, "systemd has booted", func() error {
		out, err := m.try("systemctl", "is-system-running")
		if state := strings.TrimSpace(out); state == "running" || state == "degraded" {
			return nil
		}
		return fmt.Errorf("%s (%w)", strings.TrimSpace(out), err)
	})
	return m
}

// cgroup makes a control group for a machine, where the kernel's new layout is mounted.
func cgroup(t *testing.T) string {
	t.Helper()
	for _, at := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(at + "/cgroup.procs"); err != nil {
			continue
		}
		if _, err := os.Stat(at + "/cgroup.controllers"); err != nil {
			continue // of the old layout
		}
		group, err := os.MkdirTemp(at, "amoskys-packages-") //nolint:usetesting // a control group
		if err != nil {
			t.Skipf("no control group can be made: %v", err)
		}
		t.Cleanup(func() { removeGroups(group) })
		return group
	}
	t.Skip("needs control groups of version 2")
	return ""
}

// removeGroups removes a group with those below it; their processes have ended.
func removeGroups(group string) {
	below, _ := filepath.Glob(group + "/*/")
	for _, g := range below {
		removeGroups(filepath.Clean(g))
	}
	for range 50 {
		if err := os.Remove(group); !errors.Is(err, os.ErrExist) && err == nil || errors.Is(err, os.ErrNotExist) {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}

// first finds the machine's first process, the child of unshare, once it is systemd.
func (m *machine) first(parent int, ended <-chan error, said *bytes.Buffer) int {
	m.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", parent)) // it may not be there yet
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && strings.HasPrefix(string(name), "systemd") {
				return pid
			}
		}
		select {
		case err := <-ended:
			m.t.Skipf("no systemd can run here: %v\n%s", err, said)
		case <-time.After(20 * time.Millisecond):
		}
	}
	m.t.Skipf("no systemd runs within 30 s: %s", said)
	return 0
}

// host runs a command on this machine.
func (m *machine) host(argv ...string) {
	m.t.Helper()
	if out, err := exec.CommandContext(context.WithoutCancel(m.t.Context()), argv[0], argv[1:]...).CombinedOutput(); err != nil {
		m.t.Errorf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
}

// try runs a command in the machine and returns what it prints.
func (m *machine) try(argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(m.t.Context(), 2*time.Minute)
	defer cancel()
	enter := []string{"-t", strconv.Itoa(m.pid), "-m", "-u", "-i", "-n", "-p", "-C", "--", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"}
	out, err := exec.CommandContext(ctx, "nsenter", append(enter, argv...)...).CombinedOutput()
	return string(out), err
}

// run is try for what must not fail.
func (m *machine) run(argv ...string) string {
	m.t.Helper()
	out, err := m.try(argv...)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s%s", strings.Join(argv, " "), err, out, m.journal())
	}
	return out
}

// journal is what services said of late.
func (m *machine) journal() string {
	out, _ := m.try("sh", "-c", "journalctl -n 40 --no-pager 2>&1; tail -n 20 /var/lib/amoskys/logs/errors.log /var/lib/amoskys-agent/logs/errors.log 2>/dev/null")
	return "\n-- journal\n" + out
}

// until asks until there is no error.
func (m *machine) until(patience time.Duration, what string, ask func() error) {
	m.t.Helper()
	began := time.Now()
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Since(began) > patience {
			m.t.Fatalf("not within %s: %s: %v%s", patience, what, err, m.journal())
		}
		<-time.After(200 * time.Millisecond)
	}
}
