package metrics

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// days makes a database with blocks: readings of some hours, one a minute, stopped.
func days(t *testing.T, f *fleet, path string) {
	t.Helper()
	const hours = 8
	f.now = time.Now().Add(-hours * time.Hour).Truncate(2 * time.Hour)
	for range hours * 60 {
		f.after(time.Minute).say(gauge("a", float64(f.n)), process(7, float64(f.n), 1))
	}
	db, stop := f.run(t, Options{Path: path})
	f.caughtUp(t, db)
	compact(t, db)
	stop()
}

// compact makes blocks of what is old enough.
func compact(t *testing.T, db *DB) {
	t.Helper()
	d, release, err := db.use()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if err := d.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// blocks are the folders of blocks, oldest first.
func blocks(t *testing.T, path string) (list []string) {
	t.Helper()
	files, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, err := ulid.ParseStrict(f.Name()); err == nil {
			list = append(list, filepath.Join(path, f.Name()))
		}
	}
	return list
}

// allThere waits until the database has found the blocks that were rebuilt.
func (f *fleet) allThere(t *testing.T, db *DB) {
	t.Helper()
	n := 0
	defer func() {
		if t.Failed() {
			t.Errorf("%d samples are there: %+v", n, db.place.Aside)
		}
	}()
	until(t, "all samples are there", func() bool {
		n = strings.Count(f.values(t, db, "a", f.now), "=")
		return n == 8*60
	})
}

func TestDamagedBlocks(t *testing.T) {
	tests := []struct {
		name   string
		damage func(t *testing.T, block string)
		want   string
	}{
		{"index cut", func(t *testing.T, block string) { truncate(t, filepath.Join(block, "index"), 100) }, "damaged"},
		{"index flipped", func(t *testing.T, block string) { flip(t, filepath.Join(block, "index"), 20) }, "damaged"},
		{"no chunks", func(t *testing.T, block string) { truncate(t, filepath.Join(block, "chunks", "000001"), 3) }, "damaged"},
		{"meta empty", func(t *testing.T, block string) { truncate(t, filepath.Join(block, "meta.json"), 0) }, "damaged"},
		{"meta missing", func(t *testing.T, block string) { remove(t, filepath.Join(block, "meta.json")) }, "damaged"},
		{"newer", func(t *testing.T, block string) {
			replaceText(t, filepath.Join(block, "meta.json"), `"version": 1`, `"version": 2`)
		}, "a newer version wrote it"},
		{"newer index", func(t *testing.T, block string) { overwrite(t, filepath.Join(block, "index"), 4, 9) }, "damaged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, path := newFleet(t), t.TempDir()
			days(t, f, path)
			before := blocks(t, path)
			if len(before) == 0 {
				t.Fatal("there are no blocks")
			}
			tt.damage(t, before[0])
			db, _ := f.run(t, Options{Path: path})
			f.caughtUp(t, db)
			until(t, "it is rebuilt", rebuiltOnce(db))
			a := db.place.Aside[0]
			if a.State != AsideRebuilt || a.Samples == 0 || !strings.Contains(a.Reason, tt.want) {
				t.Errorf("%+v", a)
			}
			if _, err := os.Stat(filepath.Join(path, asideFolder, a.Folder)); err != nil {
				t.Error(err)
			}
			f.allThere(t, db)
			if state, reason := db.Status(); state != "ok" {
				t.Errorf("%s %s", state, reason)
			}
		})
	}
}

// TestDamagedHead: what the write-ahead log had is read from the log again, wherever it
// is damaged.
func TestDamagedHead(t *testing.T) {
	tests := []struct {
		name   string
		damage func(t *testing.T, path string)
	}{
		{"flipped early", func(t *testing.T, path string) { flip(t, segment(t, path), 300) }},
		{"cut", func(t *testing.T, path string) { truncate(t, segment(t, path), 1000) }},
		{"zeroed", func(t *testing.T, path string) { truncate(t, segment(t, path), 0) }},
		{"a segment is missing", func(t *testing.T, path string) {
			if err := os.Rename(segment(t, path), filepath.Join(path, "wal", "00000009")); err != nil {
				t.Fatal(err)
			}
		}},
		{"all is gone", func(t *testing.T, path string) {
			if err := os.RemoveAll(filepath.Join(path, "wal")); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, path := newFleet(t), t.TempDir()
			days(t, f, path)
			tt.damage(t, path)
			db, _ := f.run(t, Options{Path: path})
			f.caughtUp(t, db)
			until(t, "it is rebuilt", rebuiltOnce(db))
			f.allThere(t, db)
		})
	}
}

// TestDamagedHeadOfLateReadings: those that came late and were in no block yet are read from
// the log again, too.
func TestDamagedHeadOfLateReadings(t *testing.T) {
	t.Parallel()
	f, path := newFleet(t), t.TempDir()
	days(t, f, path)
	late := gauge("late", 5)
	late.Time = timestamppb.New(f.now.Add(-7 * time.Hour))
	f.say(late)
	db, stop := f.run(t, Options{Path: path})
	f.caughtUp(t, db)
	check(t, "before", f.values(t, db, "late", f.now), "-25200=5")
	stop()
	for _, folder := range []string{"wal", "wbl", "chunks_head"} {
		if err := os.RemoveAll(filepath.Join(path, folder)); err != nil {
			t.Fatal(err)
		}
	}
	db, _ = f.run(t, Options{Path: path})
	f.caughtUp(t, db)
	until(t, "it is rebuilt", rebuiltOnce(db))
	until(t, "what was late is there", func() bool { return strings.TrimSpace(f.values(t, db, "late", f.now)) == "-25200=5" })
}

// TestTornTail: what lies behind the place is read again, and nothing is lost or set aside.
func TestTornTail(t *testing.T) {
	f, path := newFleet(t), t.TempDir()
	f.say(gauge("a", 1))
	db, stop := f.run(t, Options{Path: path})
	f.caughtUp(t, db)
	stop()
	name := segment(t, path)
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, name, info.Size(), 1, 2, 3, 4, 5, 6, 7, 8, 9)
	db, _ = f.run(t, Options{Path: path})
	f.caughtUp(t, db)
	check(t, "after a torn write", f.values(t, db, "a", f.now), "0=1")
	if len(db.place.Aside) != 0 {
		t.Errorf("%+v", db.place.Aside)
	}
}

// TestLogDoesNotReachBack: what cannot be rebuilt is said.
func TestLogDoesNotReachBack(t *testing.T) {
	f, path := newFleet(t), t.TempDir()
	days(t, f, path)
	truncate(t, filepath.Join(blocks(t, path)[0], "index"), 100)
	f.log.Trim(f.log.Stat().NextOffset - 1)
	db, _ := f.run(t, Options{Path: path})
	until(t, "it is known", func() bool {
		_, reason := db.Status()
		return strings.Contains(reason, "the log had not all of them any more")
	})
}

// TestLogHasAHole: readings that the log lost between others are not said to be there again;
// who asks for that time is told for as long as they are not, and others are not.
func TestLogHasAHole(t *testing.T) {
	f, path := newFleet(t), t.TempDir()
	days(t, f, path)
	truncate(t, filepath.Join(blocks(t, path)[0], "index"), 100)
	f.log.Damage(10 << 16)
	var later atomic.Int64
	db, _ := f.run(t, Options{Path: path, Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }})
	until(t, "it is rebuilt", rebuiltOnce(db))
	db.mu.Lock()
	a := db.place.Aside[0]
	db.mu.Unlock()
	if a.State != AsidePartly || a.Samples == 0 {
		t.Errorf("%+v", a)
	}
	later.Store(int64(48 * time.Hour))
	if state, reason := db.Status(); state != "ok" {
		t.Errorf("two days later: %s %s", state, reason)
	}
	if len(db.Lacks(a.From, a.To)) != 1 || len(db.Lacks(a.To.Add(time.Hour), a.To.Add(2*time.Hour))) != 0 {
		t.Error("who asks for that time is not told, or others are")
	}
}

// TestDoesNotOpen: it is tried again, said meanwhile, and then goes on.
func TestDoesNotOpen(t *testing.T) {
	f, path := newFleet(t), t.TempDir()
	f.say(gauge("a", 1))
	in := filepath.Join(path, "metrics")
	if err := os.WriteFile(in, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	db, _ := f.run(t, Options{Path: in})
	until(t, "it is said", func() bool { state, _ := db.Status(); return state == degraded })
	if _, err := db.Querier(0, 1); err == nil || !IsAway(err) {
		t.Errorf("who asks gets %v", err)
	}
	remove(t, in)
	f.caughtUp(t, db)
	check(t, "in the end", f.values(t, db, "a", f.now), "0=1")
	if state, reason := db.Status(); state != "ok" {
		t.Errorf("%s %s", state, reason)
	}
}

// TestInUse: two stores do not share a database.
func TestInUse(t *testing.T) {
	f, path := newFleet(t), t.TempDir()
	db, _ := f.run(t, Options{Path: path})
	f.caughtUp(t, db)
	other, stop := f.run(t, Options{Path: path})
	until(t, "it is said", func() bool { state, _ := other.Status(); return state == degraded })
	stop()
	if len(other.place.Aside) > 0 {
		t.Error("it is set aside while it is in use")
	}
}

// TestFailedWrite: the database is opened again, and what was being written is there once.
func TestFailedWrite(t *testing.T) {
	f := newFleet(t)
	begin := f.now
	f.say(gauge("a", 1))
	db, _ := f.run(t, Options{})
	f.caughtUp(t, db)
	db.breaks(errors.New("input/output error"))
	f.after(time.Second).say(gauge("a", 2))
	f.caughtUp(t, db)
	check(t, "after a failed write", f.values(t, db, "a", begin), "0=1 1=2")
}

// TestFailsTwice: who waits for the database since it failed is not forgotten when it fails
// for another reason before it was opened again.
func TestFailsTwice(t *testing.T) {
	db, err := New(Options{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	close(db.ready) // it was open
	db.breaks(errors.New("input/output error"))
	waiting := db.ready
	db.breaks(errAhead)
	if db.ready != waiting {
		t.Error("who waits is never told")
	}
}

// TestClockWasAhead: a head of a time that has not come is set aside, as it would take
// nothing for long.
func TestClockWasAhead(t *testing.T) {
	f, path := newFleet(t), t.TempDir()
	begin := f.now
	f.say(gauge("a", 1))
	ahead := 30 * 24 * time.Hour
	f.now = f.now.Add(ahead)
	f.say(gauge("a", 2))
	db, stop := f.run(t, Options{Path: path, Now: func() time.Time { return time.Now().Add(ahead) }})
	f.caughtUp(t, db)
	stop()
	f.now = begin
	f.after(time.Minute).say(gauge("a", 3))
	db, _ = f.run(t, Options{Path: path})
	until(t, "it is rebuilt", rebuiltOnce(db))
	f.after(time.Minute).say(gauge("a", 4))
	f.caughtUp(t, db)
	if got := f.values(t, db, "a", begin); !strings.Contains(got, "120=4") || strings.Contains(got, "2.592e+06") {
		t.Error(got)
	}
}

// rebuiltOnce reports whether one part was set aside, and read again.
func rebuiltOnce(db *DB) func() bool {
	return func() bool {
		db.mu.Lock()
		defer db.mu.Unlock()
		return len(db.place.Aside) == 1 && db.place.Aside[0].State != AsideWaiting
	}
}

func segment(t *testing.T, path string) string {
	t.Helper()
	list, err := segmentsOf(filepath.Join(path, "wal"))
	if err != nil || len(list) == 0 {
		t.Fatal(list, err)
	}
	best, size := "", int64(-1)
	for _, f := range list {
		name := filepath.Join(path, "wal", padded(f))
		if info, err := os.Stat(name); err == nil && info.Size() > size {
			best, size = name, info.Size()
		}
	}
	return best
}

func truncate(t *testing.T, name string, size int64) {
	t.Helper()
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, name string, at int64) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, name, at, b[at]^0x40)
}

func overwrite(t *testing.T, name string, at int64, bytes ...byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(bytes, at)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func replaceText(t *testing.T, name, before, after string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil || !strings.Contains(string(b), before) {
		t.Fatal(string(b), err)
	}
	if err := os.WriteFile(name, []byte(strings.ReplaceAll(string(b), before, after)), 0o600); err != nil {
		t.Fatal(err)
	}
}
