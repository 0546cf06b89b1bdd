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
	image    image
	forked   bool  // it has not called execve(2) since the fork that made it
	exit     int32 // as for waitpid(2); 0 also where it may not be seen
	// thread is one that lives, of a process whose main thread has left; otherwise 0.
	// State, memory and image are then its own.
	thread int
}

// image is where code and stack of a program lie, which execve(2) alone changes. It
// is zero where it may not be seen, and of threads of the kernel.
type image struct{ code, end, stack uint64 }

// forkedFlag is PF_FORKNOEXEC of include/linux/sched.h, which everybody may see.
const forkedFlag = 0x40

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
	s.vsize, s.rssPages, s.exit, s.thread = uint64(n[23]), max(n[24], 0), int32(n[52]), 0
	s.forked, s.image = n[9]&forkedFlag != 0, image{}
	if n[28] != 0 {
		s.image = image{code: uint64(n[26]), end: uint64(n[27]), stack: uint64(n[28])}
	}
	return true
}

// leaderless reports that the main thread has left while others run: the kernel then
// calls the process a zombie, and it is none. A zombie counts itself alone.
func (s *stat) leaderless() bool { return s.state == 'Z' && s.threads > 1 }

// take makes a thread that lives speak for the process. Times and the number of
// threads are those of the whole process already.
func (s *stat) take(thread int, t *stat) {
	s.thread, s.state, s.vsize, s.rssPages, s.image = thread, t.state, t.vsize, t.rssPages, t.image
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

// maxRaw bounds how much of a command line is looked at, in bytes. It is more than is
// kept, so that a secret is whole when it is masked.
const maxRaw = 16 << 10

// parseCommand splits /proc/PID/cmdline at its NULs, with its secrets masked. A program
// that has written over its arguments leaves blanks or nothing; what is there is kept.
func parseCommand(b []byte, mask func([]string) []string) (command string, args []string) {
	if len(b) > maxRaw {
		b = b[:maxRaw]
		if end := bytes.LastIndexAny(b, "\x00 \t\n"); end > maxCommand {
			b = b[:end] // not inside a word
		}
	}
	b = bytes.TrimRight(b, "\x00")
	if len(b) == 0 {
		return "", nil
	}
	args = mask(strings.Split(string(b), "\x00"))
	command = clean([]byte(strings.Join(args, " ")), maxCommand)
	args = args[:min(len(args), maxArgs)]
	for i, arg := range args {
		args[i] = clean([]byte(arg), maxCommand)
	}
	return command, args
}

// clean makes text from outside valid UTF-8 of at most limit bytes, and an ellipsis
// where it was longer.
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
	if len(s) > limit { // the replacement is longer than what it replaces
		cut = true
		for limit > 0 && !utf8.RuneStart(s[limit]) {
			limit--
		}
		s = s[:limit]
	}
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
