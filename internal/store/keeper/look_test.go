package keeper_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amoskys/amoskys/internal/store/enginetest"
	"github.com/amoskys/amoskys/internal/store/keeper"
)

// TestALookBeforeTheEngineOpens is a table of folders that the engine would delete, end
// over, or answer without.
func TestALookBeforeTheEngineOpens(t *testing.T) {
	t.Parallel()
	dir, days, holds := template(t)
	day := func(store string) string { return filepath.Join(store, "engine", "partitions", days[0]) }
	parts := func(store string) string { return filepath.Join(day(store), "datadb") }
	for name, test := range map[string]struct {
		change func(store string) error
		aside  string // what is set aside; empty for nothing
		why    string
		whole  bool // the day is there still
	}{
		"nothing": {change: func(string) error { return nil }, whole: true},
		"a file":  {change: func(store string) error { return os.WriteFile(day(store)+"x", nil, 0o600) }, aside: days[0] + "x", why: "no day", whole: true},
		"a folder that is no day": {
			change: func(store string) error { return os.MkdirAll(filepath.Join(day(store), "../copy/x"), 0o700) }, aside: "copy", why: "no day", whole: true,
		},
		"a symbolic link": {
			change: func(store string) error {
				return errors.Join(os.Rename(day(store), store+"/elsewhere"), os.Symlink(store+"/elsewhere", day(store)))
			}, aside: days[0], why: "no folder",
		},
		"a file instead of the day": {
			change: func(store string) error {
				return errors.Join(os.RemoveAll(day(store)), os.WriteFile(day(store), nil, 0o600))
			}, aside: days[0], why: "no folder",
		},
		"what a barrier left": {
			change: func(store string) error {
				return os.MkdirAll(filepath.Join(day(store), "snapshots", "x", "datadb"), 0o700)
			}, whole: true,
		},
		"an empty folder": {
			change: func(store string) error { return errors.Join(os.RemoveAll(day(store)), os.Mkdir(day(store), 0o700)) }, aside: days[0], why: "index is missing",
		},
		"an empty folder of the far future": {
			change: func(store string) error { return os.Mkdir(filepath.Join(day(store), "../20990101"), 0o700) }, whole: true,
		},
		"a pipe for a list": {change: func(store string) error {
			return errors.Join(os.Remove(parts(store)+"/parts.json"), unix.Mkfifo(parts(store)+"/parts.json", 0o600))
		}, aside: days[0], why: "no regular file"},
		"no folder":       {change: func(store string) error { return os.RemoveAll(day(store)) }, aside: days[0], why: "not there any more"},
		"no index":        {change: func(store string) error { return os.RemoveAll(day(store) + "/indexdb") }, aside: days[0], why: "index is missing"},
		"no data":         {change: func(store string) error { return os.RemoveAll(parts(store)) }, aside: days[0], why: "list of parts is missing"},
		"an empty list":   {change: func(store string) error { return os.WriteFile(parts(store)+"/parts.json", []byte("[]"), 0o600) }, aside: days[0], why: "any more"},
		"a doubled list":  {change: func(store string) error { return double(parts(store) + "/parts.json") }, aside: days[0], why: "twice"},
		"broken deletion": {change: func(store string) error { return os.WriteFile(store+"/engine/delete_tasks.json", []byte("{"), 0o600) }, whole: true},
	} {
		t.Run(name, func(t *testing.T) {
			store := clone(t, dir)
			os.Rename(parts(store)+"/parts.json", parts(store)+"/x") // what is written to is no link
			b, _ := os.ReadFile(parts(store) + "/x")
			os.WriteFile(parts(store)+"/parts.json", b, 0o600)
			if err := test.change(store); err != nil {
				t.Fatal(err)
			}
			o := enginetest.Options(t, store)
			var told []keeper.SetAside
			o.OnSetAside = func(a keeper.SetAside) { told = append(told, a) }
			k, stop := enginetest.Run(t, o)
			aside := k.State().SetAside
			if test.aside == "" && len(aside) > 0 || test.aside != "" && (len(aside) != 1 || aside[0].Day != test.aside || !strings.Contains(aside[0].Why, test.why)) {
				t.Errorf("set aside %+v", aside)
			}
			if len(told) != len(aside) {
				t.Errorf("told of %d", len(told))
			}
			if got := digest(t, k.Client(), days[1]); got != holds[days[1]] {
				t.Errorf("the other day holds %s, and did %s", got, holds[days[1]])
			}
			if got := digest(t, k.Client(), days[0]); (got == holds[days[0]]) != test.whole {
				t.Errorf("the day holds %s, and did %s", got, holds[days[0]])
			}
			if k.State().Unclean != (name == "broken deletion") {
				t.Error("unclean:", k.State().Unclean)
			}
			stop()
			again, _ := enginetest.Run(t, o)
			if got := again.State().SetAside; len(got) != len(aside) {
				t.Errorf("after a restart it knows of %+v", got)
			}
			if len(aside) == 0 {
				return
			}
			if err := again.Rebuilt(aside[0].Folder); err != nil || again.State().SetAside[0].Rebuilt.IsZero() {
				t.Error("not noted as rebuilt", err)
			}
		})
	}
}

// TestNothingIsNotedBeforeTheLook: damage that lies there at the start does not become
// what is known of a day before it was looked at.
func TestNothingIsNotedBeforeTheLook(t *testing.T) {
	t.Parallel()
	dir, days, _ := template(t)
	lists := filepath.Join(dir, "engine", "partitions", days[0], "datadb", "parts.json")
	if err := os.WriteFile(lists, []byte("[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := enginetest.Options(t, dir)
	if err := keeper.New(o).ScanRunning(t.Context()); err != nil {
		t.Fatal(err)
	}
	k, _ := enginetest.Run(t, o)
	if aside := k.State().SetAside; len(aside) != 1 || aside[0].Day != days[0] {
		t.Errorf("set aside %+v", aside)
	}
}

// double makes a list of parts name each twice.
func double(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	list := strings.Trim(string(b), "[]\n ")
	return os.WriteFile(path, []byte("["+list+","+list+"]"), 0o600)
}

// TestANewerFormatIsRefused, and nothing is moved.
func TestANewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	dir, days, _ := template(t)
	if err := os.RemoveAll(dir + "/sums"); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(dir + "/engine/partitions/" + days[0] + "/datadb/*/metadata.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[0])
	if err == nil {
		err = os.WriteFile(files[0], []byte(strings.Replace(string(b), `"FormatVersion":3`, `"FormatVersion":4`, 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	k := keeper.New(enginetest.Options(t, dir))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := k.Run(ctx); !errors.Is(err, keeper.ErrNewer) {
		t.Errorf("it ended with %v", err)
	}
	if s := k.State(); s.Running || len(s.SetAside) > 0 {
		t.Errorf("state %+v", s)
	}
	if _, err := os.Stat(files[0]); err != nil {
		t.Error(err)
	}
}

// TestDaysAreRemoved, and others stay.
func TestDaysAreRemoved(t *testing.T) {
	t.Parallel()
	dir, days, holds := template(t)
	o := enginetest.Options(t, dir)
	k, stop := enginetest.Run(t, o)
	sizes, err := k.Days()
	if err != nil || len(sizes) != 2 || sizes[0].Name != days[0] || sizes[0].Bytes == 0 || sizes[0].Events != 3*perDay/4 {
		t.Errorf("%+v, %v", sizes, err)
	}
	if err := k.Remove(t.Context(), days[0]); err != nil {
		t.Fatal(err)
	}
	if err := k.Remove(t.Context(), "../x"); err == nil {
		t.Error("what is no day was removed")
	}
	for range 2 {
		if got := digest(t, k.Client(), days[1]); got != holds[days[1]] {
			t.Errorf("the other day holds %s, and did %s", got, holds[days[1]])
		}
		if got := digest(t, k.Client(), days[0]); !strings.HasPrefix(got, "0 rows") {
			t.Errorf("the removed day holds %s", got)
		}
		if s := k.State(); s.Unclean || len(s.SetAside) > 0 {
			t.Errorf("state %+v", s)
		}
		stop()
		k, stop = enginetest.Run(t, o)
	}
	// Rows for that day make it again.
	noon, err := time.Parse("20060102", days[0])
	if err != nil {
		t.Fatal(err)
	}
	insert(t, k.Client(), 0, 10, noon.Add(12*time.Hour))
	if err := k.Client().Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := digest(t, k.Client(), days[0]); !strings.HasPrefix(got, "10 rows") {
		t.Errorf("the day holds %s", got)
	}
}

// TestAStoppedClockDeletesNothing: days far in the future and the past stay.
func TestAStoppedClockDeletesNothing(t *testing.T) {
	t.Parallel()
	o := enginetest.Options(t, t.TempDir())
	k, stop := enginetest.Run(t, o)
	insert(t, k.Client(), 0, 10, time.Now().AddDate(20, 0, 0))
	insert(t, k.Client(), 10, 10, time.Now().AddDate(-20, 0, 0))
	stop()
	k, _ = enginetest.Run(t, o)
	if got := tally(t, k.Client()); got != "20 20" {
		t.Errorf("rows and different offsets %s, want 20", got)
	}
}

// TestVerifyFindsWhatChanged, and changes nothing itself.
func TestVerifyFindsWhatChanged(t *testing.T) {
	t.Parallel()
	dir, days, _ := template(t)
	whole, err := keeper.Verify(t.Context(), dir, nil)
	if err != nil || !whole.OK || len(whole.Days) != 2 || whole.Days[0].Events != 3*perDay/4 || whole.Days[0].Unknown > 0 {
		t.Fatalf("%+v, %v", whole, err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "engine", "partitions", days[1], "datadb", "*", "values.bin0"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[0])
	if err == nil {
		b[len(b)/2] ^= 4
		err = os.WriteFile(files[0], b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	var done, all int64
	found, err := keeper.Verify(t.Context(), dir, func(d, a int64) { done, all = d, a })
	if err != nil || found.OK || len(found.Days[0].Damage) > 0 || len(found.Days[1].Damage) != 1 || !strings.Contains(found.Days[1].Damage[0].Why, "values.bin0") {
		t.Errorf("%+v, %v", found, err)
	}
	if all == 0 || done == 0 {
		t.Error("no progress", done, all)
	}
	if _, err := keeper.Verify(t.Context(), t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "no store") {
		t.Error(err)
	}
}

// TestAnotherEngineIsWaitedFor: the files of one that runs are not looked at, as they
// change, and once it is gone the store goes on.
func TestAnotherEngineIsWaitedFor(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	first, stop := enginetest.Run(t, enginetest.Options(t, dir))
	insert(t, first.Client(), 0, 1000, time.Now())
	second := keeper.New(enginetest.Options(t, dir))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- second.Run(ctx) }()
	for !strings.Contains(second.State().Reason, "another engine") {
		wait(t, time.Millisecond)
	}
	if s := second.State(); len(s.SetAside) > 0 || s.Starts > 0 {
		t.Errorf("state %+v", s)
	}
	stop()
	soon, done := context.WithTimeout(ctx, time.Minute)
	defer done()
	if _, err := second.Wait(soon, 0); err != nil {
		t.Fatal(err)
	}
	if n := count(t, second.Client(), "*"); n != 1000 {
		t.Errorf("%d rows of 1000", n)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
