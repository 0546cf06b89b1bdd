package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
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
	hz      uint64
	page    uint64
	mask    func([]string) []string
	users   names
	groups  names
	sizedFD bool // the size of /proc/PID/fd is the number of descriptors (Linux 6.2)
	// wholeStatus: the status in /proc/PID/stat is the process's, not that of its main
	// thread (Linux 5.17).
	wholeStatus bool
	thread      stat // for reading one
	tids        []entry
}

// maxRead bounds one file of /proc.
const maxRead = 64 << 10

func newProcfs(mask func([]string) []string) (*procfs, error) {
	p := &procfs{
		root: "/proc", mask: mask, buf: make([]byte, 8<<10), hz: clockTicks(), page: uint64(os.Getpagesize()),
		users: names{file: "/etc/passwd"}, groups: names{file: "/etc/group"},
	}
	if _, err := os.Stat(p.root + "/self/stat"); err != nil {
		return nil, fmt.Errorf("read processes: %w: is /proc mounted?", err)
	}
	p.sizedFD = p.fdSize(os.Getpid(), 0) > 0
	p.wholeStatus = kernelSince(5, 17)
	return p, nil
}

// kernelSince reports whether Linux is of this version or later.
func kernelSince(major, minor int) bool {
	var name unix.Utsname
	var a, b int
	if err := unix.Uname(&name); err != nil {
		return false
	}
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &a, &b); err != nil {
		return false
	}
	return a > major || a == major && b >= minor
}

// clock implements source. The time since boot is what /proc counts starts by, the
// time that the machine slept included.
func (p *procfs) clock() (up time.Duration, when time.Time) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, time.Now() // Linux has it since 2.6.39
	}
	return time.Duration(ts.Nano()), time.Now()
}

// cpus implements source.
func (p *procfs) cpus() int {
	if b, err := p.read("/sys/devices/system/cpu/online"); err == nil {
		if n := countList(b); n > 0 {
			return n
		}
	}
	return runtime.NumCPU()
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

// file makes the path of a process's file, or of one of its threads unless that is 0.
func (p *procfs) file(pid, thread int, name string) string {
	p.path = strconv.AppendInt(append(append(p.path[:0], p.root...), '/'), int64(pid), 10)
	if thread != 0 {
		p.path = strconv.AppendInt(append(p.path, "/task/"...), int64(thread), 10)
	}
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

// list appends all visible processes to dst.
func (p *procfs) list(dst []entry) ([]entry, error) { return p.listFolder(p.root, dst) }

// listFolder appends the processes, or threads, that a folder of /proc names.
func (p *procfs) listFolder(folder string, dst []entry) ([]entry, error) {
	fd, err := unix.Open(folder, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
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
		dst = appendEntries(dst, p.buf[:n])
	}
}

// stat reads /proc/PID/stat into s. The error is errDenied for a process that may not
// be read (hidepid of proc(5)); with any other it is gone.
func (p *procfs) stat(pid int, s *stat) error {
	b, err := p.read(p.file(pid, 0, "stat"))
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return errDenied
	}
	if err != nil {
		return err
	}
	if !parseStat(b, s) {
		return fmt.Errorf("process %d: its stat is not of a known form", pid)
	}
	if s.leaderless() {
		p.speaker(pid, s)
	}
	return nil
}

// maxThreads bounds how many threads are looked at for one that lives.
const maxThreads = 64

// speaker lets a thread that lives speak for a process whose main thread has left, one
// that runs if there is one.
func (p *procfs) speaker(pid int, s *stat) {
	s.thread, s.state = pid, '?'                                 // where none may be seen
	p.tids, _ = p.listFolder(p.file(pid, 0, "task"), p.tids[:0]) // those that were read will do
	for _, e := range p.tids[:min(len(p.tids), maxThreads)] {
		if e.pid == pid {
			continue
		}
		b, err := p.read(p.file(pid, e.pid, "stat"))
		if err != nil || !parseStat(b, &p.thread) || p.thread.state == 'Z' || p.thread.state == 'X' {
			continue
		}
		s.take(e.pid, &p.thread)
		if s.state == 'R' {
			return
		}
	}
}

// mayReadStatus implements source. The kernel tells the status to whom it lets read
// the namespaces (ptrace(2), PTRACE_MODE_READ_FSCREDS), of a zombie too.
func (p *procfs) mayReadStatus(pid int) bool {
	_, err := unix.Readlink(p.file(pid, 0, "ns/pid"), p.buf)
	return err == nil
}

// facts reads what rarely changes. Whatever may not be seen stays empty.
func (p *procfs) facts(pid, thread int, f *facts) {
	*f = facts{}
	if b, err := p.read(p.file(pid, thread, "cmdline")); err == nil {
		f.command, f.args = parseCommand(b, p.mask)
	}
	var err error
	f.exe, err = p.link(p.file(pid, thread, "exe"))
	f.hidden = errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)
	f.cwd, _ = p.link(p.file(pid, thread, "cwd")) // empty where it may not be seen
	if b, err := p.read(p.file(pid, thread, "cgroup")); err == nil {
		f.cgroup, f.container = parseCgroup(b)
	}
	p.identity(pid, f)
}

// identity reads user and group, which a process may change.
func (p *procfs) identity(pid int, f *facts) {
	b, err := p.read(p.file(pid, 0, "status"))
	if err != nil {
		return
	}
	if uid, gid, ok := parseIDs(b); ok {
		f.uid, f.gid = strconv.FormatUint(uint64(uid), 10), strconv.FormatUint(uint64(gid), 10)
		f.user, f.group = p.users.name(f.uid), p.groups.name(f.gid)
	}
}

func (p *procfs) link(path string) (string, error) {
	n, err := unix.Readlink(path, p.buf)
	if err != nil {
		return "", err
	}
	return clean(p.buf[:max(n, 0)], maxPath), nil
}

// descriptors counts open files; nil when this process may not see them.
func (p *procfs) descriptors(pid, thread int) *uint32 {
	if p.sizedFD {
		if n := p.fdSize(pid, thread); n >= 0 {
			count := uint32(n)
			// The folder itself is visible to all, so 0 proves nothing.
			if count > 0 || p.mayList(pid, thread) {
				return &count
			}
		}
		return nil
	}
	entries, err := os.ReadDir(p.file(pid, thread, "fd"))
	if err != nil {
		return nil
	}
	count := uint32(len(entries))
	return &count
}

// fdSize is the size of /proc/PID/fd, or -1.
func (p *procfs) fdSize(pid, thread int) int64 {
	var st unix.Stat_t
	if err := unix.Stat(p.file(pid, thread, "fd"), &st); err != nil {
		return -1
	}
	return st.Size
}

func (p *procfs) mayList(pid, thread int) bool {
	fd, err := unix.Open(p.file(pid, thread, "fd"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	_ = unix.Close(fd) // only looked at
	return true
}

// io returns the bytes read from and written to storage; 0 where not visible.
func (p *procfs) io(pid int) (read, written uint64) {
	b, err := p.read(p.file(pid, 0, "io"))
	if err != nil {
		return 0, 0
	}
	read, written, _ = parseIO(b) // 0 when a kernel does not tell
	return read, written
}
