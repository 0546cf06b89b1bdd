package limit

import (
	"testing"
	"testing/fstest"
)

func TestMemory(t *testing.T) {
	const meminfo = "MemTotal:       24684908 kB\nMemFree:        5607000 kB\n"
	for name, tc := range map[string]struct {
		files map[string]string
		group int64 // what control groups bound it to, 0 for nothing
		want  int64
	}{
		"nothing known":      {nil, 0, 0},
		"machine":            {map[string]string{"proc/meminfo": meminfo}, 0, 24684908 << 10},
		"unbounded group":    {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, 0, 24684908 << 10},
		"own group":          {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "536870912\n"}, 512 << 20, 512 << 20},
		"group above":        {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "1073741824\n", "sys/fs/cgroup/a/b/memory.max": "max\n"}, 1 << 30, 1 << 30},
		"inside a container": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "268435456\n"}, 256 << 20, 256 << 20},
		"version 1":          {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "5:cpu:/x\n4:memory:/d\n", "sys/fs/cgroup/memory/d/memory.limit_in_bytes": "536870912\n"}, 512 << 20, 512 << 20},
		"version 1, none":    {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0, 24684908 << 10},
		"group in several":   {map[string]string{"proc/self/cgroup": "x\n4:memory:/x\n0::/a\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "2097152\n", "sys/fs/cgroup/a/memory.max": "1048576\n"}, 1 << 20, 1 << 20},
		"negative, outside":  {map[string]string{"proc/self/cgroup": "::\n0::/../..\n", "sys/fs/cgroup/memory.max": "-1\n"}, 0, 0},
		"nonsense":           {map[string]string{"proc/meminfo": "MemTotal: lots\n", "proc/self/cgroup": "::\n0:\n"}, 0, 0},
	} {
		root := fstest.MapFS{}
		for file, text := range tc.files {
			root[file] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := memoryIn(root); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
		if got := groupMemory(root); got != tc.group {
			t.Errorf("%s: %d by groups, want %d", name, got, tc.group)
		}
	}
	if Memory() <= 0 {
		t.Error("this machine's memory is not known")
	}
}
