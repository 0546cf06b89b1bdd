//go:build unix

package skew

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSpoolThereAndBack: an agent of this build, one of the previous, and one of this
// again leave events in one spool, and all arrive once there is a hub.
func TestSpoolThereAndBack(t *testing.T) {
	t.Parallel()
	before, now := Previous(t), Current(t)
	w := newWorld(t)
	w.run(before.Amoskys, "certs", "init")
	for life, p := range []Programs{before, now, before, now} {
		agent := w.start(p.Agent, "agent", "eventbus")
		w.until("an agent of the "+p.Name+" build runs", func() bool {
			log, _ := os.ReadFile(filepath.Join(w.home, "logs", "agents", "eventbus.log"))
			return strings.Count(string(log), "agent started") > life
		})
		agent.stop()
		agent.ended()
	}
	w.startHub(now)
	agent := w.start(now.Agent, "agent", "eventbus")
	w.until("the last words of each are in the log", func() bool {
		return strings.Count(w.run(now.Amoskys, "tail", "--all", "--no-follow", "--json", "--type", "agent.health"), "AGENT_STATE_STOPPING") == 4
	})
	agent.stop()
	if text := w.logs(); strings.Contains(text, "damaged") || strings.Contains(text, "lost") {
		t.Error(text)
	}
}
