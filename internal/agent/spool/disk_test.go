package spool

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestLittleRoomOnTheDisk: while the disk has less free than MinFree the spool stays as
// it is and drops by its policy, but for a small one.
func TestLittleRoomOnTheDisk(t *testing.T) {
	for _, policy := range []Policy{DropOldest, DropNewest} {
		t.Run(string(policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				free := uint64(1 << 40)
				s := open(t, Options{
					Dir: t.TempDir(), MaxBytes: 64 << 20, MinFree: 100 << 20, Policy: policy,
					free: func(string) (uint64, error) { return free, nil },
				})
				fill := func(n int) (refused int) {
					for range n {
						if err := s.Append([]byte(noise(100_000))); errors.Is(err, ErrFull) {
							refused++
						} else if err != nil {
							t.Fatal(err)
						}
					}
					return refused
				}
				fill(100)
				before := s.Stats()
				if before.LowDisk || before.DroppedFull > 0 {
					t.Fatalf("%+v", before)
				}
				<-time.After(2 * lookInterval)
				free = 10 << 20
				refused := fill(100)
				after := s.Stats()
				if !after.LowDisk || after.Bytes > before.Bytes+lookBytes || after.DroppedFull == 0 || (refused > 0) != (policy == DropNewest) {
					t.Errorf("before %+v, after %+v, %d refused", before, after, refused)
				}
				if after.Bytes < before.Bytes/2 {
					t.Errorf("the spool shrank from %d to %d bytes for others", before.Bytes, after.Bytes)
				}
				<-time.After(2 * lookInterval)
				free = 1 << 40
				if fill(20); s.Stats().LowDisk || s.Stats().DroppedFull != after.DroppedFull {
					t.Errorf("there is room again: %+v", s.Stats())
				}
			})
		})
	}
}

// TestAgentOnAFullDiskWorks: a spool in daily use is small, and goes on whatever the
// disk has free, as it does where nobody can tell.
func TestAgentOnAFullDiskWorks(t *testing.T) {
	for name, free := range map[string]func(string) (uint64, error){
		"nothing is free": func(string) (uint64, error) { return 0, nil },
		"nobody can tell": func(string) (uint64, error) { return 0, errors.ErrUnsupported },
	} {
		s := open(t, Options{Dir: t.TempDir(), MinFree: 100 << 20, Events: 10, free: free})
		for range 100 {
			for range 10 {
				add(t, s, noise(1000))
			}
			b, _ := next(t, s)
			s.Ack(b.Sequence)
		}
		if st := s.Stats(); st.Dropped() > 0 || st.Acked != 1000 {
			t.Errorf("%s: %+v", name, st)
		}
	}
}

// noRoom is a file on a disk that may have no room left: what lies in it can be written
// over and not be made longer.
type noRoom struct {
	file

	name string
	full *bool
}

func (f noRoom) WriteAt(b []byte, off int64) (int, error) {
	info, err := os.Stat(f.name)
	if err == nil && *f.full && off+int64(len(b)) > info.Size() {
		err = syscall.ENOSPC
	}
	if err != nil {
		return 0, err
	}
	return f.file.WriteAt(b, off)
}

// TestStartsOnAFullDisk: what is spooled goes out, though the agent has been started anew
// on a disk without room for a byte, and new events are lost and counted.
func TestStartsOnAFullDisk(t *testing.T) {
	for name, tt := range map[string]struct {
		events int // of 100 kB, one a batch; the spool has segments of 256 KiB
		end    func(*testing.T, *Spool)
	}{
		"killed":        {1, func(_ *testing.T, s *Spool) { crash(s) }},
		"killed, large": {12, func(_ *testing.T, s *Spool) { crash(s) }},
		"stopped in order": {3, func(t *testing.T, s *Spool) {
			t.Helper()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			full := false
			o := Options{Dir: t.TempDir(), Events: 1, MaxBytes: 4 << 20, BootID: "b", openFile: func(name string, flag int) (file, error) {
				f, err := openOSFile(name, flag)
				return noRoom{f, name, &full}, err
			}}
			s := open(t, o)
			var want []string
			for range tt.events {
				want = append(want, noise(100_000))
				add(t, s, want[len(want)-1])
			}
			producer := s.producer
			tt.end(t, s)
			full = true
			s = open(t, o)
			if err := s.Append([]byte("lost")); err == nil || s.Stats().DroppedDisk != 1 {
				t.Errorf("append on a full disk: %v, %+v", err, s.Stats())
			}
			for _, w := range want {
				b, got := next(t, s)
				wantEvents(t, got, w)
				if b.Producer != producer {
					t.Error("the producer id is another")
				}
				s.Ack(b.Sequence)
			}
			crash(s)
			s = open(t, o)
			full = false
			add(t, s, "again")
			_, got := next(t, s)
			wantEvents(t, got, "again")
			if st := s.Stats(); st.DamagedEvents > 0 || st.AtLeast {
				t.Errorf("%+v", st)
			}
		})
	}
}
