package flow

import (
	"bytes"
	"strconv"
	"strings"
	"unicode"
)

// stat is what is read of /proc/PID/stat (proc_pid_stat(5)).
type stat struct {
	name   string
	parent uint32
	start  uint64 // clock ticks after boot
}

// parseStat reads it. The name is in parentheses and may hold any byte, also some.
func parseStat(text []byte) (s stat, ok bool) {
	begin, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if begin < 0 || end < begin {
		return s, false
	}
	s.name = clean(string(text[begin+1 : end]))
	const parent, start = 1, 19 // after the name: the fields 4 and 22
	fields := bytes.Fields(text[end+1:])
	if len(fields) <= start {
		return s, false
	}
	ppid, err := strconv.ParseUint(string(fields[parent]), 10, 32)
	if err != nil {
		return s, false
	}
	s.parent = uint32(ppid)
	if s.start, err = strconv.ParseUint(string(fields[start]), 10, 64); err != nil {
		return s, false
	}
	return s, true
}

// socketInode reads the target of a descriptor's link, "socket:[12345]"; 0 for others.
func socketInode(target []byte) uint64 {
	number, is := bytes.CutPrefix(target, []byte("socket:["))
	if !is || !bytes.HasSuffix(number, []byte("]")) {
		return 0
	}
	inode, err := strconv.ParseUint(string(number[:len(number)-1]), 10, 64)
	if err != nil {
		return 0
	}
	return inode
}

// clean makes text valid UTF-8 without control characters.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(text, string(unicode.ReplacementChar)))
}
