package limit

import (
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// Memory returns the bytes of memory that this process may use: the least bound of
// its control groups, or that of the machine. 0 is unknown.
func Memory() int64 { return memoryIn(os.DirFS("/")) }

// GroupMemory returns the least bound of this process's control groups, and 0 when
// none bounds it.
func GroupMemory() int64 { return groupMemory(os.DirFS("/")) }

func memoryIn(root fs.FS) int64 {
	group, machine := groupMemory(root), machineMemory(root)
	if machine > 0 && (group == 0 || machine < group) {
		return machine
	}
	return group
}

// unbounded is what a bound is less than: version 1 says by a huge number that there
// is none, and version 2 by "max", which does not parse.
const unbounded = 1 << 60

func groupMemory(root fs.FS) (least int64) {
	for _, file := range memoryFiles(root) {
		text, err := fs.ReadFile(root, file)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && n > 0 && n < unbounded && (least == 0 || n < least) {
			least = n
		}
	}
	return least
}

// memoryFiles are where bounds of our control groups may stand, of each group up
// to the root: inside a container its own group is the root.
func memoryFiles(root fs.FS) []string {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	var files []string
	for line := range strings.Lines(string(text)) {
		// ID:CONTROLLERS:PATH, with 0 and no controllers for version 2 (cgroups(7)).
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		base, name := "sys/fs/cgroup", "memory.max"
		switch {
		case parts[1] == "memory":
			base, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		case parts[0] != "0":
			continue
		}
		for group := path.Clean("/" + parts[2]); ; group = path.Dir(group) {
			files = append(files, path.Join(base, group, name))
			if group == "/" {
				break
			}
		}
	}
	return files
}

func machineMemory(root fs.FS) int64 {
	text, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil || n < 0 || n > 1<<50 {
				return 0
			}
			return n << 10
		}
	}
	return 0
}
