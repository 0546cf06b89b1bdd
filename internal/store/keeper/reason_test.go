package keeper

import (
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/node/child"
)

// TestReasonOf: how an engine ended is told, and what kills without a word is named.
func TestReasonOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		end  child.Exit
		want string
		oom  bool
	}{
		{child.Exit{Code: 2}, "exit code 2", false},
		{child.Exit{Code: -1, Signal: "SIGSEGV"}, "killed by signal SIGSEGV", false},
		{child.Exit{Code: -1, Signal: "SIGKILL"}, "killed by signal SIGKILL", true},
		{child.Exit{Code: -1, Signal: "SIGKILL", Killed: time.Second}, "did not end", false},
	} {
		got := reasonOf(&c.end)
		if !strings.Contains(got, c.want) || strings.Contains(got, "memory") != c.oom {
			t.Errorf("%+v: %q, want %q", c.end, got, c.want)
		}
	}
}
