package spool

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// platter is a disk that keeps what was synced of each file; the rest may or may not
// be there after a power cut.
type platter struct {
	mu      sync.Mutex
	durable map[string][]byte
}

func (p *platter) open(name string, flag int) (file, error) {
	f, err := openOSFile(name, flag)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.durable[name]; !ok {
		p.durable[name] = nil
	}
	return &platterFile{file: f, disk: p, name: name}, nil
}

type platterFile struct {
	file
	disk *platter
	name string
}

// Sync keeps what the file holds now.
func (f *platterFile) Sync() error {
	content, err := io.ReadAll(io.NewSectionReader(f.file, 0, 1<<30))
	if err != nil {
		return err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.disk.durable[f.name] = content
	return nil
}

// cut returns what a power cut leaves of a spool: of each file what was synced, or what
// was written, or as much of that as the disk had got to.
func (p *platter) cut(t *testing.T, r *rand.Rand, dir string) map[string][]byte {
	t.Helper()
	left := readFolder(t, dir)
	for name, written := range left {
		synced, opened := p.durable[filepath.Join(dir, homeName, name)]
		if !opened { // the producer file has its name since it was synced
			continue
		}
		switch r.IntN(3) {
		case 0:
			left[name] = synced
		case 1:
			if common := min(len(synced), len(written)); len(written) > len(synced) && string(synced) == string(written[:common]) {
				left[name] = written[:common+r.IntN(len(written)-common)]
			}
		}
	}
	return left
}

// TestPowerCut: with Fsync, each event whose Append returned arrives, whatever the disk
// had got to of what was not synced, and no number stands for other events.
func TestPowerCut(t *testing.T) {
	for seed := range uint64(15) {
		r := rand.New(rand.NewPCG(seed, 1))
		files, n := map[string][]byte{}, 0
		h := &hubOf{batches: map[string][]string{}}
		appended := map[string]bool{}
		for life := range 4 {
			dir := t.TempDir()
			writeFolder(t, dir, files)
			disk := &platter{durable: map[string][]byte{}}
			for name, content := range files {
				disk.durable[filepath.Join(dir, homeName, name)] = content
			}
			s := open(t, Options{Dir: dir, Events: 4, MaxBytes: 1 << 20, Fsync: true, BootID: fmt.Sprint(life), openFile: disk.open})
			for range r.IntN(40) {
				switch r.IntN(4) {
				case 0:
					if len(s.queue) > 0 && s.queue[len(s.queue)-1].state == pending {
						b, events := next(t, s)
						h.take(b, events)
						if r.IntN(3) > 0 {
							s.Ack(b.Sequence)
						}
					}
				default:
					text := fmt.Sprintf("event-%d-%s", n, strings.Repeat(noise(50), r.IntN(100)))
					n++
					add(t, s, text)
					appended[text] = true
				}
			}
			s.mu.Lock()
			files = disk.cut(t, r, dir)
			s.mu.Unlock()
			crash(s)
		}
		dir := t.TempDir()
		writeFolder(t, dir, files)
		s := open(t, quickly(Options{Dir: dir, Events: 4}))
		sendAll(t, s, h)
		stored := h.stored()
		for e := range appended {
			if stored[e] == 0 {
				t.Errorf("seed %d: %.12s is lost", seed, e)
			}
		}
		if h.fault != "" || len(stored) != len(appended) {
			t.Errorf("seed %d: %d stored, %d appended; %.200s", seed, len(stored), len(appended), h.fault)
		}
		crash(s)
	}
}

// failingSync fails the next sync while on is set.
type failingSync struct {
	file
	on *bool
}

func (f failingSync) Sync() error {
	if *f.on {
		*f.on = false
		return syscall.EIO
	}
	return f.file.Sync()
}

// TestSyncFails: what could not be synced is not in the spool, so that shorter events that
// come then are not followed by the rest of it.
func TestSyncFails(t *testing.T) {
	fails := false
	o := Options{Dir: t.TempDir(), Fsync: true, BootID: "b", openFile: func(name string, flag int) (file, error) {
		f, err := openOSFile(name, flag)
		return failingSync{f, &fails}, err
	}}
	s := open(t, o)
	fails = true
	if err := s.Append([]byte(strings.Repeat("lost", 20)), []byte("lost too")); !errors.Is(err, syscall.EIO) || s.Stats().DroppedDisk != 2 {
		t.Fatalf("%v, %+v", err, s.Stats())
	}
	add(t, s, "short")
	crash(s)
	s = open(t, o)
	if st := s.Stats(); st.Events != 1 || st.Dropped() != 0 || st.DamagedBytes != 0 {
		t.Errorf("%+v", st)
	}
	s.Flush()
	_, got := next(t, s)
	wantEvents(t, got, "short")
}
