package ports

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// listening is the state LISTEN in /proc/net/tcp (include/net/tcp_states.h).
const listening = "0A"

// Find names the process that listens on a TCP port of any address of this
// network namespace; the zero Holder when it cannot be seen.
func Find(port int) Holder {
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue // no IPv6, or no /proc: the holder stays unknown
		}
		listeners(text, port, inodes)
	}
	if len(inodes) == 0 {
		return Holder{}
	}
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return Holder{}
	}
	for _, p := range processes {
		if pid, err := strconv.Atoi(p.Name()); err == nil && holds(pid, inodes) {
			return Holder{PID: pid, Name: name(pid)}
		}
	}
	return Holder{}
}

// listeners adds the socket inodes that listen on port, from a table in the form
// of /proc/net/tcp.
func listeners(table []byte, port int, inodes map[string]bool) {
	scanner := bufio.NewScanner(bytes.NewReader(table))
	for scanner.Scan() {
		f := strings.Fields(scanner.Text())
		if len(f) < 10 || f[3] != listening {
			continue
		}
		_, hex, _ := strings.Cut(f[1], ":")
		if n, err := strconv.ParseUint(hex, 16, 16); err == nil && int(n) == port {
			inodes[f[9]] = true
		}
	}
}

// holds tells whether a process has one of the sockets open.
func holds(pid int, inodes map[string]bool) bool {
	dir := fmt.Sprintf("/proc/%d/fd/", pid)
	files, err := os.ReadDir(dir)
	if err != nil {
		return false // it ended, or belongs to another user
	}
	for _, f := range files {
		link, err := os.Readlink(dir + f.Name())
		if err != nil {
			continue
		}
		inode, isSocket := strings.CutPrefix(link, "socket:[")
		if isSocket && inodes[strings.TrimSuffix(inode, "]")] {
			return true
		}
	}
	return false
}

func name(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}
