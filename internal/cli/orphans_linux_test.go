package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// TestReapOld: a child that has ended is left to whoever waits for it, and taken away
// when nobody does.
func TestReapOld(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", "exit 0")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := cmd.Start(); err != nil {
		t.Skipf("no shell: %v", err)
	}
	pid, parent := cmd.Process.Pid, os.Getpid()
	for deadline := time.Now().Add(10 * time.Second); !slices.Contains(endedChildren("/proc", parent), pid); {
		if time.Now().After(deadline) {
			t.Fatal("the child does not end")
		}
		<-time.After(5 * time.Millisecond)
	}
	seen, now := map[int]time.Time{}, time.Now()
	for _, late := range []time.Duration{0, orphanAge - time.Second} {
		if reaped := reapOld("/proc", parent, seen, now.Add(late)); reaped != 0 {
			t.Errorf("%d were reaped after %s", reaped, late)
		}
	}
	if reaped := reapOld("/proc", parent, seen, now.Add(orphanAge)); reaped != 1 || len(seen) != 0 {
		t.Errorf("%d were reaped, %v are left", reaped, seen)
	}
	if slices.Contains(endedChildren("/proc", parent), pid) {
		t.Error("it is there still")
	}
	_ = cmd.Wait() // it says that there is no such child
}

// TestEndedChildren: whatever a process calls itself, its state and parent are found.
func TestEndedChildren(t *testing.T) {
	proc := t.TempDir()
	for pid, text := range map[string]string{
		"11": "11 (sh) Z 1 11 0", "12": "12 (a) Z 1 (b)) Z 1 0", "13": "13 (sh) S 1 0", "14": "14 (sh) Z 2 0", "15": "", "16": "16 (", "17": "17 (x) Z",
	} {
		if err := os.Mkdir(filepath.Join(proc, pid), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, pid, "stat"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := endedChildren(proc, 1); !slices.Equal(got, []int{11, 12}) {
		t.Errorf("ended: %v", got)
	}
	if got := endedChildren(proc+strconv.Itoa(1), 1); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
