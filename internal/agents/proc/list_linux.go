package proc

import (
	"bytes"
	"encoding/binary"
)

// appendEntries takes the numeric names, with their inode numbers, from a getdents64
// buffer. /proc makes an inode for each process, and another when its pid is given
// again; under pressure it may also make another for the same process.
func appendEntries(dst []entry, b []byte) []entry {
	const header = 19 // d_ino, d_off, d_reclen, d_type of struct linux_dirent64
	for len(b) >= header {
		size := int(b[16]) | int(b[17])<<8
		if size < header || size > len(b) {
			return dst
		}
		name, _, _ := bytes.Cut(b[header:size], []byte{0})
		if pid, end, ok := number(name, 0); ok && end == len(name) && pid > 0 && pid < 1<<31 {
			dst = append(dst, entry{pid: int(pid), number: binary.NativeEndian.Uint64(b)})
		}
		b = b[size:]
	}
	return dst
}

// countList is how many numbers a list such as "0-3,8" holds (cpuset(7)).
func countList(b []byte) (n int) {
	for part := range bytes.SplitSeq(bytes.TrimSpace(b), []byte(",")) {
		first, end, ok := number(part, 0)
		if !ok || first < 0 {
			return 0
		}
		last := first
		if end < len(part) {
			if last, end, ok = number(part, end+1); !ok || end != len(part) || last < first || last > 1<<20 {
				return 0
			}
		}
		n += int(last - first + 1)
	}
	return n
}
