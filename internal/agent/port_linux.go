package agent

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func isAddrInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }

// portHolder names the process that listens on a TCP port, such as "nginx
// (process 812)", or returns "" when that cannot be seen.
func portHolder(port int) string {
	inodes := listeningInodes(port)
	if len(inodes) == 0 {
		return ""
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		to, err := os.Readlink(link)
		if err != nil || !inodes[to] {
			continue
		}
		pid := strings.Split(link, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			return "process " + pid
		}
		return fmt.Sprintf("%s (process %s)", strings.ToValidUTF8(string(bytes.TrimSpace(name)), "?"), pid)
	}
	return ""
}

// listeningInodes are the sockets that listen on port, as descriptors link to them.
func listeningInodes(port int) map[string]bool {
	const listening = "0A" // TCP_LISTEN
	found := map[string]bool{}
	suffix := ":" + strings.ToUpper(fmt.Sprintf("%04x", port))
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) > 9 && fields[3] == listening && strings.HasSuffix(fields[1], suffix) {
				if _, err := strconv.Atoi(fields[9]); err == nil {
					found["socket:["+fields[9]+"]"] = true
				}
			}
		}
		_ = f.Close() // only read
	}
	return found
}
