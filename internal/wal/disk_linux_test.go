package wal

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/vfs"
)

// TestFullDisk fills a real, small file system.
func TestFullDisk(t *testing.T) {
	where := t.TempDir()
	if err := syscall.Mount("tmpfs", where, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("a small file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(where, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	o := Options{Dir: filepath.Join(where, "wal"), Logger: quiet(), SegmentBytes: 1 << 20}
	l := openLog(t, o)
	g := newLedger()
	var err error
	for i := 0; err == nil; i++ {
		if i > 1000 {
			t.Fatal("four megabytes never got full")
		}
		r := batch(i, 10, 4000)
		var first Offset
		if first, err = l.Append(t.Context(), r); err == nil {
			g.ack(first, r)
		}
	}
	if st := l.Stat(); !errors.Is(err, ErrDiskFull) || !errors.Is(err, syscall.ENOSPC) || st.State != StateFull || st.Reason == "" {
		t.Fatalf("%v, %+v", err, st)
	}
	g.check(t, l)
	if err := syscall.Mount("tmpfs", where, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		r := batch(i, 10, 4000)
		g.ack(mustAppend(t, l, r), r)
	}
	if st := l.Stat(); st.State != StateOK {
		t.Fatalf("%+v", st)
	}
	// Read-only from here on.
	if err := syscall.Mount("tmpfs", where, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err == nil {
		t.Error("a file system with files open for writing became read-only")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", where, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	l = openLog(t, o)
	if _, err := l.Append(t.Context(), batch(1, 1, 1)); !errors.Is(err, ErrReadOnly) || l.Stat().State != StateReadOnly {
		t.Fatalf("%v, %+v", err, l.Stat())
	}
	g.check(t, l)
	if err := syscall.Mount("tmpfs", where, "tmpfs", syscall.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	r := batch(1, 1, 1)
	g.ack(mustAppend(t, l, r), r)
	g.check(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if rep, err := Verify(t.Context(), vfs.OS{}, o.Dir, nil); err != nil || !rep.OK {
		t.Fatalf("%+v, %v", rep, err)
	}
}

// killedDir tells the test binary, started again by TestKill, to append to a
// log until it is killed.
const killedDir = "AMOSKYS_WAL_TEST_DIR"

// killedAhead tells it how many queued bytes are written ahead.
const killedAhead = "AMOSKYS_WAL_TEST_AHEAD"

// TestAppendUntilKilled is not a test of its own: TestKill runs it as a
// process. It prints the offset behind each acknowledged record.
func TestAppendUntilKilled(t *testing.T) {
	where := os.Getenv(killedDir)
	if where == "" {
		t.Skip("only run by TestKill")
	}
	ahead, _ := strconv.ParseInt(os.Getenv(killedAhead), 10, 64)
	l, err := Open(t.Context(), Options{Dir: where, Logger: quiet(), SegmentBytes: 1 << 20, aheadBytes: ahead})
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewWriter(os.Stdout)
	var mu sync.Mutex
	slots := make(chan struct{}, 16)
	for i := 0; ; i++ {
		slots <- struct{}{}
		r := batch(i, 3, 1000)
		if err := l.Submit(r, func(first Offset, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				fmt.Fprintf(out, "acked %d %d\n", first, i)
				_ = out.Flush()
			}
			<-slots
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKill kills a process that appends, several times, and looks for every
// record it had acknowledged.
func TestKill(t *testing.T) {
	where := t.TempDir()
	acked := map[Offset]string{}
	for round := range 6 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAppendUntilKilled$")
		cmd.Env = append(os.Environ(), killedDir+"="+where, killedAhead+"="+strconv.Itoa(1-round%2))
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stdout)
		for n := 0; lines.Scan(); n++ {
			word := strings.Fields(lines.Text())
			if len(word) != 3 || word[0] != "acked" {
				continue
			}
			first, _ := strconv.ParseUint(word[1], 10, 64)
			acked[first] = "batch " + word[2] + " event 0 "
			if n == 200+37*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed
		if rep, err := Verify(t.Context(), vfs.OS{}, where, nil); err != nil || !rep.OK {
			t.Fatalf("round %d: %+v, %v", round, rep, err)
		}
		start := time.Now()
		l, err := Open(t.Context(), Options{Dir: where, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(start)
		got, bad := readAll(t, l, 0)
		if len(bad) != 0 || len(l.Stat().Recovery.Damage) != 0 {
			t.Fatalf("round %d: %v, %+v", round, bad, l.Stat())
		}
		for off, want := range acked {
			if !strings.HasPrefix(got[off], want) {
				t.Fatalf("round %d: offset %d was acknowledged as %q and reads %q", round, off, want, got[off])
			}
		}
		t.Logf("round %d: recovery took %v", round, took)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(acked) < 1000 {
		t.Fatalf("only %d records were acknowledged", len(acked))
	}
}

// TestNoInodes uses up the inodes of a real file system: what is sent is stored, and
// the state does not flap.
func TestNoInodes(t *testing.T) {
	where := t.TempDir()
	if err := syscall.Mount("tmpfs", where, "tmpfs", 0, "size=16m,nr_inodes=40"); err != nil {
		t.Skipf("a small file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(where, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	l := openLog(t, Options{Dir: filepath.Join(where, "wal"), Logger: quiet(), SegmentBytes: 64 << 10})
	g := newLedger()
	var hogs []string
	for i := 0; ; i++ {
		name := filepath.Join(where, strconv.Itoa(i))
		err := os.WriteFile(name, nil, 0o600)
		if errors.Is(err, syscall.ENOSPC) {
			break
		}
		if err != nil || i > 100 {
			t.Fatal(i, err)
		}
		hogs = append(hogs, name)
	}
	for i := range 100 {
		r := batch(i, 10, 400)
		g.ack(mustAppend(t, l, r), r)
		if i%10 == 0 {
			if err := l.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if st := l.Stat(); st.State != StateOK || st.Bytes > 64<<10 && len(st.Notes) == 0 {
			t.Fatalf("%+v", st)
		}
	}
	for _, name := range hogs {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.control(t.Context(), func() error { l.w.crampedAt = time.Time{}; l.tick(); return nil }); err != nil {
		t.Fatal(err)
	}
	if st := l.Stat(); st.Segments < 2 || len(st.Notes) > 0 {
		t.Errorf("with inodes again: %+v", st)
	}
	g.check(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if rep, err := Verify(t.Context(), vfs.OS{}, filepath.Join(where, "wal"), nil); err != nil || !rep.OK {
		t.Errorf("%+v, %v", rep, err)
	}
}
