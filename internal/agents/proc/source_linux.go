package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// procfs reads processes from a /proc folder. It is used by one goroutine and
// reuses its buffers. System calls are made directly, because package os adds
// three to each file it reads.
type procfs struct {
	root    string
	path    []byte
	buf     []byte
	boot    time.Time
	hz      uint64
	page    uint64
	users   names
	groups  names
	sizedFD bool // the size of /proc/PID/fd is the number of descriptors (Linux 6.2)
}

// maxRead bounds one file of /proc.
const maxRead = 64 << 10

func newProcfs(root string) (*procfs, error) {
	p := &procfs{
		root: root, buf: make([]byte, 8<<10), hz: clockTicks(), page: uint64(os.Getpagesize()),
		users: names{file: "/etc/passwd"}, groups: names{file: "/etc/group"},
	}
	if _, err := os.Stat(root + "/self/stat"); err != nil {
		return nil, fmt.Errorf("read processes: %w: is /proc mounted?", err)
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return nil, fmt.Errorf("read time since boot: %w", err)
	}
	p.boot = time.Now().Add(-time.Duration(ts.Nano()))
	p.sizedFD = p.fdSize(os.Getpid()) > 0
	return p, nil
}

// clockTicks is the unit of times in /proc, from the auxiliary vector
// (getauxval(3), AT_CLKTCK).
func clockTicks() uint64 {
	const (
		atClockTicks = 17
		usual        = 100
	)
	aux, err := unix.Auxv()
	if err != nil {
		return usual
	}
	for _, pair := range aux {
		if pair[0] == atClockTicks && pair[1] > 0 {
			return uint64(pair[1])
		}
	}
	return usual
}

// bootID names the running system; empty when unknown.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(text))
}

// file makes the path of a process's file, valid until the next call.
func (p *procfs) file(pid int, name string) string {
	p.path = append(append(append(p.path[:0], p.root...), '/'), strconv.Itoa(pid)...)
	return string(append(append(p.path, '/'), name...))
}

// read returns a file of /proc, up to maxRead bytes, valid until the next call.
func (p *procfs) read(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }() // only read
	n := 0
	for {
		if n == len(p.buf) {
			if n >= maxRead {
				return p.buf[:n], nil
			}
			p.buf = append(p.buf, make([]byte, len(p.buf))...)
		}
		m, err := unix.Read(fd, p.buf[n:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		n += m
		// A short read is the end: /proc fills the buffer if it can.
		if m == 0 || n < len(p.buf) {
			return p.buf[:n], nil
		}
	}
}

// list appends the ids of all visible processes to dst.
func (p *procfs) list(dst []int) ([]int, error) {
	fd, err := unix.Open(p.root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return dst, fmt.Errorf("list processes: %w", err)
	}
	defer func() { _ = unix.Close(fd) }() // only read
	for {
		n, err := unix.Getdents(fd, p.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return dst, fmt.Errorf("list processes: %w", err)
		}
		if n == 0 {
			return dst, nil
		}
		dst = appendPIDs(dst, p.buf[:n])
	}
}

// stat reads /proc/PID/stat into s; false when the process is gone.
func (p *procfs) stat(pid int, s *stat) bool {
	b, err := p.read(p.file(pid, "stat"))
	return err == nil && parseStat(b, s)
}

// facts reads what rarely changes. Whatever may not be seen stays empty.
func (p *procfs) facts(pid int, f *facts) {
	*f = facts{}
	if b, err := p.read(p.file(pid, "cmdline")); err == nil {
		f.command, f.args = parseCommand(b)
	}
	f.exe = p.link(pid, "exe")
	f.cwd = p.link(pid, "cwd")
	if b, err := p.read(p.file(pid, "cgroup")); err == nil {
		f.cgroup, f.container = parseCgroup(b)
	}
	p.identity(pid, f)
}

// identity reads user and group, which a process may change.
func (p *procfs) identity(pid int, f *facts) {
	b, err := p.read(p.file(pid, "status"))
	if err != nil {
		return
	}
	if uid, gid, ok := parseIDs(b); ok {
		f.uid, f.gid = strconv.FormatUint(uint64(uid), 10), strconv.FormatUint(uint64(gid), 10)
		f.user, f.group = p.users.name(f.uid), p.groups.name(f.gid)
	}
}

func (p *procfs) link(pid int, name string) string {
	n, err := unix.Readlink(p.file(pid, name), p.buf)
	if err != nil || n < 0 {
		return ""
	}
	return clean(p.buf[:n], maxPath)
}

// descriptors counts open files; nil when this process may not see them.
func (p *procfs) descriptors(pid int) *uint32 {
	if p.sizedFD {
		if n := p.fdSize(pid); n >= 0 {
			count := uint32(n)
			// The folder itself is visible to all, so 0 proves nothing.
			if count > 0 || p.mayList(pid) {
				return &count
			}
		}
		return nil
	}
	entries, err := os.ReadDir(p.file(pid, "fd"))
	if err != nil {
		return nil
	}
	count := uint32(len(entries))
	return &count
}

// fdSize is the size of /proc/PID/fd, or -1.
func (p *procfs) fdSize(pid int) int64 {
	var st unix.Stat_t
	if err := unix.Stat(p.file(pid, "fd"), &st); err != nil {
		return -1
	}
	return st.Size
}

func (p *procfs) mayList(pid int) bool {
	fd, err := unix.Open(p.file(pid, "fd"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	_ = unix.Close(fd) // only looked at
	return true
}

// io returns the bytes read from and written to storage; 0 where not visible.
func (p *procfs) io(pid int) (read, written uint64) {
	b, err := p.read(p.file(pid, "io"))
	if err != nil {
		return 0, 0
	}
	read, written, _ = parseIO(b) // 0 when a kernel does not tell
	return read, written
}

// appendPIDs takes the numeric names from a getdents64 buffer.
func appendPIDs(dst []int, b []byte) []int {
	const header = 19 // d_ino, d_off, d_reclen, d_type of struct linux_dirent64
	for len(b) >= header {
		size := int(b[16]) | int(b[17])<<8
		if size < header || size > len(b) {
			return dst
		}
		name, _, _ := bytes.Cut(b[header:size], []byte{0})
		if pid, end, ok := number(name, 0); ok && end == len(name) && pid > 0 && pid < 1<<31 {
			dst = append(dst, int(pid))
		}
		b = b[size:]
	}
	return dst
}

// names maps ids to names by a file in the form of passwd(5) or group(5), read
// again when it changed. Directories such as LDAP are not asked: a slow answer
// would stop the readings.
type names struct {
	file    string
	checked time.Time
	changed time.Time
	byID    map[string]string
}

// namesAge is how long a file is taken to be unchanged.
const namesAge = time.Minute

func (n *names) name(id string) string {
	if now := time.Now(); now.Sub(n.checked) > namesAge {
		n.checked = now
		if info, err := os.Stat(n.file); err == nil && !info.ModTime().Equal(n.changed) {
			n.changed = info.ModTime()
			n.load()
		}
	}
	return n.byID[id]
}

func (n *names) load() {
	text, err := os.ReadFile(n.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return // keep what was known
	}
	n.byID = map[string]string{}
	for line := range bytes.Lines(text) {
		fields := bytes.SplitN(line, []byte(":"), 4)
		if len(fields) == 4 {
			id := string(fields[2])
			if _, known := n.byID[id]; !known {
				n.byID[id] = cleanName(fields[0])
			}
		}
	}
}
