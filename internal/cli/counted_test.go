package cli_test

import (
	"testing"

	"github.com/amoskys/amoskys/internal/cli"
)

func TestCounted(t *testing.T) {
	for n, want := range map[int]string{0: "0 faults", 1: "1 fault", 2: "2 faults", 1234: "1,234 faults"} {
		if got := cli.Counted(n, "fault", "faults"); got != want {
			t.Errorf("%d gives %q, want %q", n, got, want)
		}
	}
}
