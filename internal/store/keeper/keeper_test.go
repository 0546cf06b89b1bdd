package keeper_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/store/enginetest"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// count asks how many rows hold.
func count(t *testing.T, c *vlogs.Client, filter string) int {
	t.Helper()
	n := -1
	err := c.Query(t.Context(), vlogs.Query{Text: filter + " | stats count() n"}, func(row []vlogs.Field) error {
		var err error
		n, err = strconv.Atoi(row[0].Value)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", filter, err)
	}
	return n
}

// insert adds n rows with offsets from first on, spread over the hour before now.
func insert(t *testing.T, c *vlogs.Client, first, n int, now time.Time) {
	t.Helper()
	var rows vlogs.Rows
	for i := first; i < first+n; i++ {
		tags := []vlogs.Field{{Name: "agent", Value: "a" + strconv.Itoa(i%3)}, {Name: "host", Value: "h" + strconv.Itoa(i%4)}, {Name: "type", Value: "t" + strconv.Itoa(i/12%2)}}
		rows.Begin(tags, now.Add(-time.Duration(i*7919%3600)*time.Second).UnixNano())
		for _, f := range tags {
			rows.Text(f.Name, f.Value)
		}
		rows.Text("_msg", "process "+strconv.Itoa(i*31)+" began")
		rows.Text("offset", strconv.Itoa(i))
		rows.Text("cmd", "/bin/x "+strconv.FormatUint(uint64(i)*0x9e3779b97f4a7c15, 36))
	}
	if err := c.Insert(t.Context(), &rows); err != nil {
		t.Fatal(err)
	}
}

// TestRowsSurviveAStop: what was inserted is there again, and the end was clean.
func TestRowsSurviveAStop(t *testing.T) {
	o := enginetest.Options(t, t.TempDir())
	now := time.Now()
	k, stop := enginetest.Run(t, o)
	if k.State().Unclean {
		t.Error("a new store has an unclean end behind it")
	}
	insert(t, k.Client(), 0, 5000, now)
	stop()
	k, _ = enginetest.Run(t, o)
	if k.State().Unclean {
		t.Error("a stop in order counts as an unclean end")
	}
	if n := count(t, k.Client(), "*"); n != 5000 {
		t.Errorf("%d rows of 5000 survived a stop in order", n)
	}
}

// TestAnEngineThatHangsIsTold: within seconds, long before it is taken for hung, and taken
// back when it answers again.
func TestAnEngineThatHangsIsTold(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: it waits until the keeper has lost patience")
	}
	t.Parallel()
	k := enginetest.Start(t)
	pid := k.State().PID
	stopped := time.Now()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ok := eventually(t, func() bool { return k.State().Silent > 0 })
	t.Logf("told after %v", time.Since(stopped))
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if s := k.State(); !ok || !s.Running || s.PID != pid {
		t.Errorf("state %+v", s)
	}
	if !eventually(t, func() bool { return k.State().Silent == 0 }) {
		t.Errorf("it answers again: %+v", k.State())
	}
}

// eventually waits for something for half a minute.
func eventually(t *testing.T, ok func() bool) bool {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); !ok(); <-tick.C {
		if time.Since(began) > 30*time.Second {
			return false
		}
	}
	return true
}

// TestWhatLiesWhereTheSocketIsToBe is removed, or said to be in the way; no day is blamed.
func TestWhatLiesWhereTheSocketIsToBe(t *testing.T) {
	t.Parallel()
	o := enginetest.Options(t, t.TempDir())
	k, _ := enginetest.Run(t, o)
	insert(t, k.Client(), 0, 100, time.Now())
	if err := k.Client().Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	place := func(path, content string) {
		t.Helper()
		err := os.Remove(o.Socket)
		if err == nil && content != "" {
			err = os.Mkdir(o.Socket, 0o700)
		}
		if err == nil && content != "folder" {
			err = os.WriteFile(path, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, content := range []string{"", "folder"} {
		place(o.Socket, content)
		kill(t, k)
	}
	place(filepath.Join(o.Socket, "x"), "file in a folder")
	if err := syscall.Kill(k.State().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if !eventually(t, func() bool { s := k.State(); return !s.Running && strings.Contains(s.Reason, o.Socket) }) {
		t.Errorf("state %+v", k.State())
	}
	if err := os.RemoveAll(o.Socket); err != nil {
		t.Fatal(err)
	}
	if !eventually(t, func() bool { return k.State().Running }) {
		t.Errorf("it does not serve again: %+v", k.State())
	}
	if s := k.State(); len(s.SetAside) > 0 || count(t, k.Client(), "*") != 100 {
		t.Errorf("state %+v", s)
	}
}

// TestADayThatWasRemovedIsTakenAgain: late events of a day that retention removed are
// found without another start, as are those of before and behind.
func TestADayThatWasRemovedIsTakenAgain(t *testing.T) {
	t.Parallel()
	k := enginetest.Start(t)
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour)
	for round := range 3 {
		insert(t, k.Client(), 0, 50, noon)
		insert(t, k.Client(), 50, 50, noon.AddDate(0, 0, -1))
		if err := k.Client().Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := count(t, k.Client(), "*"); n != 50*(round+2) {
			t.Errorf("round %d: %d rows", round, n)
		}
		if err := k.Remove(t.Context(), noon.AddDate(0, 0, -1).Format(vlogs.DayFormat)); err != nil {
			t.Fatal(err)
		}
		if n := count(t, k.Client(), "*"); n != 50*(round+1) {
			t.Errorf("round %d: %d rows after the day was removed", round, n)
		}
	}
}
