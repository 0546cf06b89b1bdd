package metrics

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// killFolder and killTime tell a child of TestKilled where to write, and of when.
const (
	killFolder = "AMOSKYS_TEST_METRICS"
	killTime   = "AMOSKYS_TEST_BEGIN"
)

// killed are how many batches there are, of which the child is killed in the middle.
const killed = 400

// killFleet is the same log in the child and in the test.
func killFleet(t *testing.T, begin time.Time) *fleet {
	t.Helper()
	f := newFleet(t)
	f.now = begin
	for i := range killed {
		f.after(time.Second).say(gauge("a", float64(i)), process(7, float64(i), uint64(i)), gauge("late", float64(i)))
	}
	return f
}

// TestKilled: a process that is killed while it writes leaves a database that opens, and
// what comes again is there once.
func TestKilled(t *testing.T) {
	if path := os.Getenv(killFolder); path != "" {
		killChild(t, path)
		return
	}
	path, begin := t.TempDir(), time.Now().Add(-time.Hour).Truncate(time.Minute)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), killFolder+"="+path, killTime+"="+strconv.FormatInt(begin.Unix(), 10))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "half" {
		continue
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	f := killFleet(t, begin)
	db, _ := f.run(t, Options{Path: path})
	f.caughtUp(t, db)
	for _, name := range []string{"a", "process_memory_bytes", "late"} {
		var want strings.Builder
		for i := range killed {
			fmt.Fprintf(&want, " %d=%d", i+1, i)
		}
		if got := f.values(t, db, name, begin); !strings.HasSuffix(got, want.String()[1:]) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if len(db.place.Aside) > 0 {
		t.Errorf("%+v", db.place.Aside)
	}
}

// killChild writes until it is killed; it says when half is written.
func killChild(t *testing.T, path string) {
	t.Helper()
	seconds, err := strconv.ParseInt(os.Getenv(killTime), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	f := killFleet(t, time.Unix(seconds, 0))
	half := f.log.Stat().NextOffset / 2
	db, _ := f.run(t, Options{Path: path})
	until(t, "half is written", func() bool {
		db.mu.Lock()
		defer db.mu.Unlock()
		return db.next > half && db.place.Offset > 0
	})
	fmt.Fprintln(os.Stdout, "half")
	<-t.Context().Done()
}
