package proc

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds on what is kept of a process, in bytes and entries.
const (
	maxName    = 64 // the kernel keeps 15, kernel threads up to 63
	maxPath    = 1024
	maxCommand = 4096
	maxArgs    = 128
)

// stat is what /proc/PID/stat says (proc(5)). Times are in clock ticks.
type stat struct {
	name     string
	state    byte
	ppid     int
	session  int
	tty      int
	utime    uint64
	stime    uint64
	threads  uint32
	start    uint64 // ticks after boot
	vsize    uint64 // bytes
	rssPages int64
	stack    uint64 // where the stack began at execve; 0 where it may not be seen
	exit     int32  // as for waitpid(2); 0 where it may not be seen
}

// ticks is the CPU time used so far.
func (s *stat) ticks() uint64 { return s.utime + s.stime }

// parseStat reads the content of /proc/PID/stat into s. The name stands in
// parentheses and may hold anything, parentheses and line breaks included, so it
// ends at the last one. An old name is kept when it is the same, to save memory.
func parseStat(b []byte, s *stat) bool {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open || end+2 >= len(b) {
		return false
	}
	if raw := b[open+1 : end]; string(raw) != s.name {
		s.name = cleanName(raw)
	}
	rest := b[end+2:]
	s.state = rest[0]
	var n [53]int64 // by field number
	field := 4
	for pos := 1; pos < len(rest) && field < len(n); field++ {
		v, next, ok := number(rest, pos+1)
		if !ok {
			break
		}
		n[field], pos = v, next
	}
	if field <= 24 {
		return false // too short to be of any kernel we know
	}
	s.ppid, s.session, s.tty = int(n[4]), int(n[6]), int(n[7])
	s.utime, s.stime = uint64(n[14]), uint64(n[15])
	s.threads, s.start = uint32(max(n[20], 0)), uint64(n[22])
	s.vsize, s.rssPages, s.stack, s.exit = uint64(n[23]), max(n[24], 0), uint64(n[28]), int32(n[52])
	return true
}

// number reads a decimal at pos; numbers above 1<<63 wrap, which only addresses do.
func number(b []byte, pos int) (v int64, next int, ok bool) {
	start, negative := pos, false
	if pos < len(b) && b[pos] == '-' {
		negative = true
		pos++
		start++
	}
	for pos < len(b) && b[pos] >= '0' && b[pos] <= '9' {
		v = v*10 + int64(b[pos]-'0')
		pos++
	}
	if negative {
		v = -v
	}
	return v, pos, pos > start
}

// parseIDs finds the effective user and group in /proc/PID/status.
func parseIDs(b []byte) (uid, gid uint32, ok bool) {
	u, okU := statusField(b, "\nUid:", 1)
	g, okG := statusField(b, "\nGid:", 1)
	return uint32(u), uint32(g), okU && okG
}

// statusField is the number at index (from 0) of a line of /proc/PID/status.
func statusField(b []byte, key string, index int) (int64, bool) {
	_, line, ok := bytes.Cut(b, []byte(key))
	if !ok {
		return 0, false
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	pos := 0
	for i := 0; ; i++ {
		for pos < len(line) && (line[pos] == '\t' || line[pos] == ' ') {
			pos++
		}
		v, next, ok := number(line, pos)
		if !ok {
			return 0, false
		}
		if i == index {
			return v, true
		}
		pos = next
	}
}

// parseIO finds the bytes that reached storage in /proc/PID/io.
func parseIO(b []byte) (read, written uint64, ok bool) {
	r, okR := ioField(b, "read_bytes:")
	w, okW := ioField(b, "write_bytes:")
	return r, w, okR && okW
}

func ioField(b []byte, key string) (uint64, bool) {
	for line := range bytes.Lines(b) {
		value, ok := bytes.CutPrefix(line, []byte(key))
		if !ok {
			continue
		}
		v, _, ok := number(bytes.TrimLeft(value, " \t"), 0)
		return uint64(v), ok
	}
	return 0, false
}

// parseCommand splits /proc/PID/cmdline at its NULs. A program that has written
// over its arguments leaves blanks or nothing; what is there is kept.
func parseCommand(b []byte) (command string, args []string) {
	b = bytes.TrimRight(b, "\x00")
	if len(b) == 0 {
		return "", nil
	}
	for arg := range bytes.SplitSeq(b, []byte{0}) {
		if len(args) == maxArgs {
			break
		}
		args = append(args, clean(arg, maxCommand))
	}
	return clean(bytes.ReplaceAll(b, []byte{0}, []byte{' '}), maxCommand), args
}

// parseCgroup returns the path in /proc/PID/cgroup, of the unified hierarchy
// where there is one, and the id of the container it names, or "".
func parseCgroup(b []byte) (group, container string) {
	for line := range bytes.Lines(b) {
		line = bytes.TrimRight(line, "\n")
		_, rest, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		controllers, where, ok := bytes.Cut(rest, []byte(":"))
		if !ok {
			continue
		}
		if group == "" || len(controllers) == 0 {
			group = clean(where, maxPath)
		}
		if id := containerID(string(where)); container == "" && id != "" {
			container = id
		}
	}
	return group, container
}

// containerID finds the last run of exactly 64 hexadecimal digits, which is how
// Docker, containerd, CRI-O and Podman name a container in its control group.
func containerID(group string) string {
	const digits = 64
	end := len(group)
	for end >= digits {
		start := end
		for start > 0 && isHex(group[start-1]) {
			start--
		}
		if end-start == digits {
			return group[start:end]
		}
		end = min(start, end-1)
	}
	return ""
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }

// clean makes text from outside valid UTF-8 of at most limit bytes.
func clean(b []byte, limit int) string {
	cut := len(b) > limit
	if cut {
		b = b[:limit]
		for i := 0; i < utf8.UTFMax && len(b) > 0; i++ { // not inside a character
			if r, size := utf8.DecodeLastRune(b); r != utf8.RuneError || size != 1 {
				break
			}
			b = b[:len(b)-1]
		}
	}
	s := strings.ToValidUTF8(string(b), "\uFFFD")
	if cut {
		s += "…"
	}
	return s
}

// cleanName is clean for names, which go into labels and lines: control
// characters become the replacement character too.
func cleanName(b []byte) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, clean(b, maxName))
}
