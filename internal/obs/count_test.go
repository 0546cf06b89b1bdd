package obs

import "testing"

func TestCounted(t *testing.T) {
	for n, want := range map[int]string{0: "0 files", 1: "1 file", 2: "2 files", -1: "-1 files"} {
		if got := Counted(n, "file", "files"); got != want {
			t.Errorf("%d gives %q, want %q", n, got, want)
		}
	}
	if got, want := Counted(^uint64(0), "event", "events"), "18446744073709551615 events"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
