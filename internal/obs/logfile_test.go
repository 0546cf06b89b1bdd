package obs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLogFileIsOpenedAnew does to a log that is open what people and logrotate do:
// whatever is written afterwards stands in the file at its path, and no line is lost.
func TestLogFileIsOpenedAnew(t *testing.T) {
	move := func(t *testing.T, path string) string {
		t.Helper()
		old := filepath.Join(t.TempDir(), "old")
		if err := os.Rename(path, old); err != nil {
			t.Fatal(err)
		}
		return old
	}
	for name, tc := range map[string]struct {
		// disturb returns the file in which the first line is then, empty if it is gone
		disturb func(t *testing.T, path string) string
	}{
		"moved": {move},
		"moved and made anew": {func(t *testing.T, path string) string {
			t.Helper()
			old := move(t, path)
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return old
		}},
		"deleted": {func(t *testing.T, path string) string {
			t.Helper()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			return ""
		}},
		"deleted with its folder": {func(t *testing.T, path string) string {
			t.Helper()
			if err := os.RemoveAll(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
			return ""
		}},
		"copied and truncated": {func(t *testing.T, path string) string {
			t.Helper()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			old := filepath.Join(t.TempDir(), "old")
			if err := os.WriteFile(old, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
			return old
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "logs")
			own, shared := filepath.Join(dir, "agents", "a.log"), filepath.Join(dir, "errors.log")
			log, closer, err := NewLogger(LogOptions{File: own, ErrorsFile: shared})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = closer.Close() })
			for _, path := range []string{own, shared} {
				log.Error("first")
				old := tc.disturb(t, path)
				log.Error("second")
				if got := messages(t, path); got != "second" {
					t.Errorf("%s has %q, want the second line alone", path, got)
				}
				if old != "" && !strings.HasSuffix(messages(t, old), "first") {
					t.Errorf("the first line is not in %s", old)
				}
			}
		})
	}
}

// messages are the messages in a log, in order.
func messages(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n") {
		_, after, found := strings.Cut(line, " msg=")
		if !found || strings.Contains(line, "\x00") {
			t.Fatalf("%s: line %q", path, line)
		}
		out = append(out, after)
	}
	return strings.Join(out, " ")
}

// TestLogFileKeepsCopies rotates often: so many copies stay, none older than the age.
func TestLogFileKeepsCopies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	f, err := OpenLog(path, Keep{Bytes: 8, Copies: 3, Age: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	write := func(text string) {
		t.Helper()
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	there := func() string {
		t.Helper()
		names, err := filepath.Glob(path + ".[0-9]")
		if err != nil {
			t.Fatal(err)
		}
		for i := range names {
			names[i] = filepath.Ext(names[i])
		}
		return strings.Join(names, "")
	}
	for range 6 {
		write("12345678")
	}
	if got := there(); got != ".1.2.3" {
		t.Errorf("copies %s, want .1.2.3", got)
	}
	old := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(path+".1", old, old); err != nil {
		t.Fatal(err)
	}
	write("12345678") // what was .1 is .2 now, and too old
	if got := there(); got != ".1.3" {
		t.Errorf("copies %s, want .1.3", got)
	}
}
