package usage

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	const line = "7 (a) R (b) S 1 7 7 0 -1 4194560 5 0 0 0 150 50 0 0 20 0 8 0 4242 1000 25 18446744073709551615 1 1 0 0\n"
	got, err := parse([]byte(line), 4096)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Sample{CPU: 2 * time.Second, Start: 4242, RSS: 25 * 4096}, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "7 (x", "7 (x) S 1 2 3", "7 (x) S 1 7 7 0 -1 4194560 5 0 0 0 a 50 0 0 20 0 8 0 4242 1000 25 1"} {
		if _, err := parse([]byte(bad), 4096); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestOf(t *testing.T) {
	first, err := Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if first.RSS < 1<<20 || first.Start == 0 {
		t.Errorf("got %+v", first)
	}
	if _, err := Of(1 << 30); err == nil {
		t.Error("read a process that cannot exist")
	}
}

func TestPercent(t *testing.T) {
	now := time.Unix(100, 0)
	from := Sample{Time: now, CPU: time.Second, Start: 1}
	to := Sample{Time: now.Add(2 * time.Second), CPU: 1500 * time.Millisecond, Start: 1}
	if got := Percent(from, to); got != 25 {
		t.Errorf("got %v, want 25", got)
	}
	to.Start = 2
	if got := Percent(from, to); got != 0 {
		t.Errorf("another process with the same pid: got %v, want 0", got)
	}
}
