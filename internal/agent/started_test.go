package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestStartedBy: the remedy names the command of this host, not always amoskys up.
func TestStartedBy(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for pid, of := range map[int]struct {
		ppid int
		line string
	}{
		1:  {0, "/sbin/init\x00"},
		10: {1, "amoskys\x00up\x00--home\x00/srv/a\x00"},
		11: {10, "/usr/bin/amoskys\x00node\x00--home\x00/srv/a\x00"},
		20: {1, "/usr/bin/amoskys-agent\x00node\x00"},
		30: {1, "-bash\x00"},
		40: {40, "amoskys\x00"},
	} {
		dir := filepath.Join(root, fmt.Sprint(pid))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"cmdline": of.line, "status": fmt.Sprintf("Name:\tx\nPid:\t%d\nPPid:\t%d\nUid:\t0\n", pid, of.ppid)} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for pid, want := range map[int]string{
		11: "amoskys up --home /srv/a", 20: "/usr/bin/amoskys-agent node", 30: "amoskys up", 40: "amoskys", 99: "amoskys up",
	} {
		if got := StartedBy(root, pid); got != want {
			t.Errorf("by %d: %q, want %q", pid, got, want)
		}
	}
}
