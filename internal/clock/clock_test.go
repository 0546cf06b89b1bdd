package clock_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/clock"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

const (
	day  = 24 * time.Hour
	file = "/data/clock"
)

// machine is two clocks that a test sets.
type machine struct {
	wall   time.Time
	passed time.Duration
	boot   string
	fs     *memfs.FS
	log    strings.Builder
	clock  *clock.Clock
}

func newMachine(t *testing.T) *machine {
	m := &machine{wall: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), passed: 100 * time.Hour, boot: "a", fs: memfs.New()}
	if err := m.fs.MkdirAll("/data", 0o700); err != nil {
		t.Fatal(err)
	}
	m.start()
	return m
}

// start starts the program.
func (m *machine) start() {
	m.clock = clock.Open(clock.Options{
		Readings: clock.Readings{Wall: func() time.Time { return m.wall }, Passed: func() time.Duration { return m.passed }, Boot: m.boot},
		FS:       m.fs, File: file, Logger: slog.New(slog.NewTextHandler(&m.log, nil)),
	})
}

// reboot starts the machine, which was off for so long.
func (m *machine) reboot(off time.Duration) {
	m.save()
	m.wall, m.passed, m.boot = m.wall.Add(off), time.Minute, m.boot+"'"
	m.start()
}

// save is what Run does now and then: Trust of a clock that is believed changes nothing else.
func (m *machine) save() { clock.Save(m.clock) }

// pass lets time pass, looking as often as Run does.
func (m *machine) pass(d time.Duration) {
	for range int(d / time.Minute) {
		m.wall, m.passed = m.wall.Add(time.Minute), m.passed+time.Minute
		m.clock.Now()
	}
}

// set sets the wall clock.
func (m *machine) set(d time.Duration) { m.wall = m.wall.Add(d); m.clock.Now() }

// TestClock: each row of the table in the package's comment, and what it means for the
// age of something that came an hour before.
func TestClock(t *testing.T) {
	tests := []struct {
		name    string
		do      func(m *machine)
		behind  time.Duration // wall clock minus believed time
		age     time.Duration // of what came first
		doubted string        // part of what it says
	}{
		{"both go on", func(m *machine) { m.pass(day) }, 0, day + time.Hour, ""},
		{"NTP steps 20 s", func(m *machine) { m.set(20 * time.Second) }, 0, time.Hour + 20*time.Second, ""},
		{"NTP slews for a week", func(m *machine) {
			for range 7 * 24 {
				m.pass(time.Hour)
				m.set(2 * time.Second)
			}
		}, 0, 7*day + time.Hour + 168*2*time.Second, ""},
		{"23 h ahead", func(m *machine) { m.set(23 * time.Hour) }, 0, day, ""},
		{"23 h ahead, again and again", func(m *machine) {
			for range 10 {
				m.pass(time.Minute)
				m.set(23 * time.Hour)
			}
		}, 10*23*time.Hour - 23*time.Hour, time.Hour + 10*time.Minute + 23*time.Hour, "8.6 days ahead"},
		{"30 days ahead", func(m *machine) { m.set(30 * day); m.pass(time.Minute) }, 30 * day, time.Hour + time.Minute, "30.0 days ahead"},
		{"30 days ahead for a minute", func(m *machine) { m.set(30 * day); m.pass(time.Minute); m.set(-30 * day) }, 0, time.Hour + time.Minute, ""},
		{"30 days ahead for 59 minutes", func(m *machine) { m.set(30 * day); m.pass(59 * time.Minute) }, 30 * day, 2*time.Hour - time.Minute, "30.0 days ahead"},
		{"30 days ahead for an hour: believed, but no event is 30 days older", func(m *machine) { m.set(30 * day); m.pass(61 * time.Minute) }, 0, 2*time.Hour + time.Minute, ""},
		{"another jump within the hour begins it anew", func(m *machine) {
			m.set(30 * day)
			m.pass(50 * time.Minute)
			m.set(5 * day)
			m.pass(50 * time.Minute)
		}, 35 * day, time.Hour + 100*time.Minute, "35.0 days ahead"},
		{"trusted at once", func(m *machine) { m.set(30 * day); trust(m) }, 0, 30*day + time.Hour, ""},
		{"30 days back", func(m *machine) { m.set(-30 * day); m.pass(time.Minute) }, -30 * day, time.Hour + time.Minute, "30.0 days back"},
		{"30 days back for an hour: believed", func(m *machine) { m.set(-30 * day); m.pass(61 * time.Minute) }, 0, time.Hour + 61*time.Minute - 30*day, ""},
		{"back and right again", func(m *machine) { m.set(-400 * day); m.pass(time.Minute); m.set(400 * day) }, 0, time.Hour + time.Minute, ""},
		{"double speed", func(m *machine) {
			for range 10 * 24 * 60 {
				m.pass(time.Minute)
				m.set(time.Minute)
			}
		}, 9*day - 10*time.Minute, 11*day + 70*time.Minute, "9.0 days ahead"},
		{"asleep for 5 days: both clocks saw it", func(m *machine) { m.wall, m.passed = m.wall.Add(5*day), m.passed+5*day }, 0, 5*day + time.Hour, ""},
		{"stood still for 5 days: neither saw it", func(m *machine) { m.set(5 * day) }, 5 * day, time.Hour, "5.0 days ahead"},

		{"program starts again", func(m *machine) { m.save(); m.start(); m.pass(time.Minute) }, 0, time.Hour + time.Minute, ""},
		{"program starts again while doubted: goes on", func(m *machine) {
			m.set(30 * day)
			m.pass(30 * time.Minute)
			m.save()
			m.start()
			m.pass(20 * time.Minute)
		}, 30 * day, time.Hour + 50*time.Minute, "30.0 days ahead"},
		{"and is believed after the rest of the hour", func(m *machine) {
			m.set(30 * day)
			m.pass(30 * time.Minute)
			m.save()
			m.start()
			m.pass(31 * time.Minute)
		}, 0, 2*time.Hour + time.Minute, ""},
		{"the clock jumps while the program is away", func(m *machine) { m.save(); m.wall = m.wall.Add(30 * day); m.start() }, 30 * day, time.Hour, "30.0 days ahead"},
		{"machine off for an hour", func(m *machine) { m.reboot(time.Hour) }, 0, 2 * time.Hour, ""},
		{"machine off for 30 days", func(m *machine) { m.reboot(30 * day); m.pass(time.Minute) }, 30 * day, time.Hour + time.Minute, "30.0 days ahead"},
		{"machine off for 30 days: believed after an hour", func(m *machine) { m.reboot(30 * day); m.pass(61 * time.Minute) }, 0, 30*day + 2*time.Hour + time.Minute, ""},
		{"starts in 1970", func(m *machine) { m.reboot(time.Duration(-m.wall.UnixNano())); m.pass(time.Minute) }, -20574*day - 13*time.Hour, time.Hour + time.Minute, "days back"},
		{"starts in 1970, then learns the date", func(m *machine) {
			now := m.wall
			m.reboot(time.Duration(-m.wall.UnixNano()))
			m.pass(2 * time.Minute)
			m.set(now.Sub(m.wall) + 10*time.Minute)
		}, 0, time.Hour + 10*time.Minute, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			came := m.wall
			m.pass(time.Hour)
			tt.do(m)
			if got := m.wall.Sub(m.clock.Now()); (got - tt.behind).Abs() > 2*time.Minute {
				t.Errorf("the wall clock is %s ahead of what is believed, want %s", got, tt.behind)
			}
			if got := m.clock.Age(came); (got - tt.age).Abs() > 2*time.Minute {
				t.Errorf("age %s, want %s", got, tt.age)
			}
			if got := m.clock.Doubt(); (got == "") != (tt.doubted == "") || !strings.Contains(got, tt.doubted) {
				t.Errorf("doubt %q, want %q", got, tt.doubted)
			}
			if warned := strings.Count(m.log.String(), "level=WARN"); tt.doubted != "" && warned == 0 {
				t.Errorf("not a word in the log")
			}
		})
	}
}

func trust(m *machine) {
	if _, _, err := m.clock.Trust(); err != nil {
		panic(err)
	}
}

// TestFirstStart: a machine that has no battery for its clock, and a log from before
// there was a file.
func TestFirstStart(t *testing.T) {
	right := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	t.Run("in 1970", func(t *testing.T) {
		m := &machine{wall: time.Unix(20, 0), passed: 20 * time.Second, boot: "a", fs: memfs.New()}
		m.start()
		came := m.wall
		m.pass(3 * time.Hour)
		m.set(right.Sub(m.wall))
		if got := m.clock.Age(came); got != 3*time.Hour || m.clock.Doubt() == "" {
			t.Fatalf("right after: age %s, doubt %q", got, m.clock.Doubt())
		}
		m.pass(61 * time.Minute)
		if got := m.clock.Age(came); (got-4*time.Hour).Abs() > 2*time.Minute || m.clock.Doubt() != "" {
			t.Fatalf("an hour after: age %s, doubt %q", got, m.clock.Doubt())
		}
		m.reboot(time.Hour) // it is remembered
		if got := m.clock.Age(came); (got - 5*time.Hour).Abs() > 3*time.Minute {
			t.Fatalf("after a restart: age %s", got)
		}
	})
	for name, tt := range map[string]struct {
		newest  time.Duration // before the first start
		doubted bool
	}{"the log is fresh": {time.Hour, false}, "the log is a week old": {7 * day, true}, "the log is of the future": {-7 * day, true}} {
		t.Run(name, func(t *testing.T) {
			m := &machine{wall: right, passed: time.Hour, boot: "a", fs: memfs.New()}
			m.start()
			m.clock.Known(right.Add(-tt.newest))
			if got := m.clock.Doubt(); (got != "") != tt.doubted {
				t.Errorf("doubt %q", got)
			}
			m.pass(61 * time.Minute)
			if got := m.clock.Doubt(); got != "" {
				t.Errorf("after an hour: %q", got)
			}
		})
	}
}

// TestTrustSays how far the clock was off, and is kept.
func TestTrustSays(t *testing.T) {
	m := newMachine(t)
	m.pass(time.Hour)
	m.set(30 * day)
	off, now, err := m.clock.Trust()
	if err != nil || off != 30*day || !now.Equal(m.wall) {
		t.Fatalf("%s, %s, %v", off, now, err)
	}
	m.reboot(time.Minute)
	if m.clock.Doubt() != "" || !m.clock.Now().Equal(m.wall) {
		t.Fatalf("after a restart: %s, doubt %q", m.clock.Now(), m.clock.Doubt())
	}
}

// TestManyJumpsAreBounded: what is remembered does not grow, and errs to the young.
func TestManyJumpsAreBounded(t *testing.T) {
	m := newMachine(t)
	came := m.wall
	for range 40 {
		m.pass(61 * time.Minute)
		m.set(3 * day)
	}
	m.pass(61 * time.Minute)
	if got := m.clock.Age(came); got > 41*61*time.Minute+time.Minute {
		t.Errorf("age %s", got)
	}
	if n := len(read(t, m.fs)); n > 4<<10 {
		t.Errorf("the file has %d bytes", n)
	}
}

func read(t *testing.T, fsys *memfs.FS) []byte {
	t.Helper()
	f, err := fsys.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	size, _ := f.Size()
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDamagedFile is as good as none, and said.
func TestDamagedFile(t *testing.T) {
	m := newMachine(t)
	b := read(t, m.fs)
	for _, bad := range [][]byte{nil, []byte("x"), b[:len(b)-2], append([]byte("00000000"), b[8:]...)} {
		f, err := m.fs.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(bad, 0); err != nil {
			t.Fatal(err)
		}
		m.log.Reset()
		m.boot += "'"
		m.start()
		if m.clock.Doubt() != "" || !m.clock.Now().Equal(m.wall) || !strings.Contains(m.log.String(), "damaged") {
			t.Errorf("%q: doubt %q, log %s", bad, m.clock.Doubt(), &m.log)
		}
	}
}

func FuzzState(f *testing.F) {
	f.Add([]byte("00000000\n{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) { clock.CheckDecode(t, b) })
}

// TestSystem reads the machine's own clocks.
func TestSystem(t *testing.T) {
	c := clock.Open(clock.Options{})
	if off := time.Since(c.Now()).Abs(); off > time.Second || c.Doubt() != "" {
		t.Errorf("off by %s, doubt %q", off, c.Doubt())
	}
	if age := c.Age(time.Now().Add(-time.Hour)); (age - time.Hour).Abs() > time.Second {
		t.Errorf("age %s", age)
	}
}
