package ring

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// begun is when the frames of the tests begin, in Unix nanoseconds.
const begun = int64(1_700_000_000) * 1e9

// datagram is a UDP packet in a frame of n bytes from 192.0.2.1:port to 192.0.2.2:53,
// the i-th of the test.
func datagram(i int, port uint16, n int) *packet.Frame {
	b := make([]byte, n)
	copy(b[12:], []byte{0x08, 0x00, 0x45, 0, byte((n - 14) >> 8), byte(n - 14), 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2})
	copy(b[34:], []byte{byte(port >> 8), byte(port), 0, 53, byte((n - 34) >> 8), byte(n - 34)})
	return &packet.Frame{Time: begun + int64(i)*1e6, Data: b, Wire: uint32(n), Link: packet.LinkEthernet}
}

// flowOf is the Community ID of a frame.
func flowOf(t *testing.T, f *packet.Frame) string {
	t.Helper()
	var d packet.Decoder
	var p packet.Packet
	if err := d.Decode(f, &p); err != nil {
		t.Fatal(err)
	}
	return track.IDOf(&p, 0).CommunityID()
}

// running is a ring with one feed, whose Run ends with the test.
type running struct {
	*Ring
	feed *Feed
	d    packet.Decoder
	p    packet.Packet
	end  func()
}

func run(t *testing.T, o Options) *running {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "packets")
	}
	r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- r.Run() }()
	x := &running{Ring: r, feed: r.Feed()}
	ended := false
	x.end = func() {
		if ended {
			return
		}
		ended = true
		x.feed.Flush()
		r.End()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(x.end)
	return x
}

func (x *running) add(t *testing.T, f *packet.Frame) {
	t.Helper()
	if err := x.d.Decode(f, &x.p); err != nil {
		t.Fatal(err)
	}
	x.feed.Add(f, &x.p)
}

// written waits until the feed's chunks are on disk.
func (x *running) written(t *testing.T) {
	t.Helper()
	x.feed.Flush()
	chunks := make([]*chunk, 0, x.wanted)
	for len(chunks) < int(x.made.Load()) {
		chunks = append(chunks, <-x.empty)
	}
	for _, c := range chunks {
		x.empty <- c
	}
}

// save returns what is saved, and the frames of the file.
func save(t *testing.T, r *Ring, q Query) (Saved, []packet.Frame) {
	t.Helper()
	var file bytes.Buffer
	s, err := r.Save(t.Context(), q, &file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if file.Len() == 0 {
		return s, nil
	}
	if uint64(file.Len()) != s.Bytes {
		t.Errorf("%d bytes are written, and it says %d", file.Len(), s.Bytes)
	}
	in, err := capture.NewFile(&file)
	if err != nil {
		t.Fatal(err)
	}
	var frames []packet.Frame
	for {
		var f packet.Frame
		if err := in.Next(&f); errors.Is(err, io.EOF) {
			return s, frames
		} else if err != nil {
			t.Fatal(err)
		}
		f.Data = bytes.Clone(f.Data)
		frames = append(frames, f)
	}
}

func TestSavesOneFlow(t *testing.T) {
	x := run(t, Options{MaxBytes: LeastBytes, Snap: 200})
	for i := range 3000 {
		x.add(t, datagram(i, uint16(1000+i%100), 100+i%200))
	}
	x.written(t)
	wanted := flowOf(t, datagram(0, 1007, 100))
	s, frames := save(t, x.Ring, Query{CommunityID: wanted, MaxBytes: 1 << 20})
	if len(frames) != 30 || s.Packets != 30 || s.Cut {
		t.Fatalf("%d frames, %+v", len(frames), s)
	}
	for i, f := range frames {
		was := datagram(7+100*i, 1007, 100+(7+100*i)%200)
		if f.Time != was.Time || f.Wire != was.Wire || !bytes.Equal(f.Data, was.Data[:min(len(was.Data), 200)]) {
			t.Fatalf("frame %d differs: %v %d", i, f.Time, f.Wire)
		}
	}
	if s.Short != 15 {
		t.Errorf("%d frames are short", s.Short)
	}
	s, frames = save(t, x.Ring, Query{CommunityID: wanted, Since: begun + 1000e6, Until: begun + 1999e6})
	if len(frames) != 10 || s.First != begun+1007e6 || s.Last != begun+1907e6 {
		t.Errorf("of a second: %d frames, %+v", len(frames), s)
	}
	s, frames = save(t, x.Ring, Query{CommunityID: wanted, MaxBytes: 1000})
	if !s.Cut || len(frames) == 0 || s.Bytes > 1000 || !strings.Contains(s.String(), "one file may hold") {
		t.Errorf("cut: %d frames, %v", len(frames), s.String())
	}
	s, frames = save(t, x.Ring, Query{CommunityID: "1:none"})
	if len(frames) != 0 || !strings.Contains(s.String(), "has no packet of it; the ring reaches back to 2023-11-14") {
		t.Errorf("nothing: %d frames, %q", len(frames), s.String())
	}
	_, frames = save(t, x.Ring, Query{Address: packet.Addr{10: 0xff, 11: 0xff, 12: 192, 14: 2, 15: 2}, Port: 53, PeerPort: 1008, Protocol: 17})
	if len(frames) != 30 {
		t.Errorf("by its ends: %d frames", len(frames))
	}
	if _, frames = save(t, x.Ring, Query{Address: packet.Addr{10: 0xff, 11: 0xff, 12: 192, 14: 2, 15: 9}}); len(frames) != 0 {
		t.Errorf("of another address: %d frames", len(frames))
	}
}

// TestStaysWithinItsSize: the oldest go, and no file is open to others.
func TestStaysWithinItsSize(t *testing.T) {
	x := run(t, Options{MaxBytes: LeastBytes})
	for i := range 10_000 {
		x.add(t, datagram(i, uint16(i), 1000))
		if i%200 == 0 {
			x.written(t)
		}
	}
	x.written(t)
	stats := x.Stats()
	if stats.Packets != 10_000 || stats.DroppedQueue+stats.DroppedDisk+stats.DroppedError != 0 {
		t.Errorf("%+v", stats)
	}
	var size int64
	names, err := segmentFiles(x.o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		info, err := os.Stat(filepath.Join(x.o.Dir, n.name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", n.name, info.Mode())
		}
		size += info.Size()
	}
	if size != stats.Bytes || size > LeastBytes || size < LeastBytes/2 || len(names) < segments/2 {
		t.Errorf("%d bytes in %d files, and it says %d", size, len(names), stats.Bytes)
	}
	oldest := datagram(0, 0, 1000)
	s, _ := save(t, x.Ring, Query{CommunityID: flowOf(t, oldest), Since: oldest.Time})
	if s.Packets != 0 || !strings.Contains(s.Tell(oldest.Time), "what came before is gone") {
		t.Errorf("the oldest: %q", s.Tell(oldest.Time))
	}
	if s.Oldest != stats.Oldest || s.Oldest <= begun {
		t.Errorf("reaches back to %d, and it says %d", s.Oldest, stats.Oldest)
	}
}

// TestTornTail: what a killed process had half written is cut off, and the rest is
// found, at first without and then with what is learnt of it.
func TestTornTail(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "packets")
	x := run(t, Options{Dir: dir, MaxBytes: LeastBytes})
	for i := range 1000 {
		x.add(t, datagram(i, uint16(i%10), 500))
	}
	x.end()
	names, err := segmentFiles(dir)
	if err != nil || len(names) < 2 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	newest := filepath.Join(dir, names[len(names)-1].name)
	info, err := os.Stat(newest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(newest, info.Size()-100); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, segmentName(1<<20)), []byte("torn at once"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("another's"), 0o600); err != nil {
		t.Fatal(err)
	}
	x = run(t, Options{Dir: dir, MaxBytes: LeastBytes})
	for range 2 {
		s, frames := save(t, x.Ring, Query{CommunityID: flowOf(t, datagram(0, 9, 500))})
		if len(frames) != 99 && len(frames) != 100 || s.Damaged != 0 {
			t.Errorf("%d frames, %+v", len(frames), s)
		}
	}
	for i, g := range x.segments {
		if !g.known {
			t.Errorf("segment %d was searched, and its flows are not known", i)
		}
	}
	x.add(t, datagram(1000, 9, 500))
	x.end()
	if err := Remove(dir); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "notes.txt" {
		t.Errorf("left are %v, %v", left, err)
	}
	if err := Remove(filepath.Join(dir, "none")); err != nil {
		t.Error(err)
	}
}

// TestNobodyWaits: where the disk takes nothing, frames are dropped and counted.
func TestNobodyWaits(t *testing.T) {
	r, err := Open(Options{Dir: filepath.Join(t.TempDir(), "packets"), MaxBytes: LeastBytes})
	if err != nil {
		t.Fatal(err)
	}
	x := running{Ring: r, feed: r.Feed()} // and no Run
	for i := range 20_000 {
		x.add(t, datagram(i, 1, 1000))
	}
	stats := r.Stats()
	if stats.DroppedQueue == 0 || stats.Packets != 0 {
		t.Errorf("%+v", stats)
	}
	r.End()
	if err := r.Run(); err != nil {
		t.Fatal(err)
	}
	if got := r.Stats(); got.Packets+got.DroppedQueue+uint64(len(x.feed.entries())) != 20_000 {
		t.Errorf("of 20000 frames are told %+v", got)
	}
}

func (f *Feed) entries() []entry {
	if f.c == nil {
		return nil
	}
	return f.c.entries
}

// TestLeavesOthersTheDisk: with little room the ring stays as large as it is.
func TestLeavesOthersTheDisk(t *testing.T) {
	free := uint64(1 << 30)
	var told []string
	now := time.Unix(0, begun)
	x := run(t, Options{
		MaxBytes: 8 << 20, MinFree: 1 << 20, Now: func() time.Time { now = now.Add(time.Second); return now },
		free: func(string) (uint64, error) { return free, nil },
		Condition: func(err error) {
			if err == nil {
				told = append(told, "well")
			} else {
				told = append(told, err.Error())
			}
		},
	})
	for i := range 2000 {
		x.add(t, datagram(i, 1, 1000))
	}
	x.written(t)
	before := x.Stats().Bytes
	free = 1 << 20
	for i := range 4000 {
		x.add(t, datagram(2000+i, 2, 1000))
		if i%200 == 0 {
			x.written(t)
		}
	}
	x.written(t)
	s := x.Stats()
	if !s.LowDisk || s.Bytes > before || s.Bytes < before/2 || s.DroppedDisk != 0 {
		t.Errorf("before %d, then %+v", before, s)
	}
	free = 1 << 30
	x.add(t, datagram(7000, 2, 1000))
	x.written(t)
	if x.Stats().LowDisk || len(told) != 2 || !strings.Contains(told[0], "spool.min_free_mb") || told[1] != "well" {
		t.Errorf("told %q", told)
	}
}

// failing is a disk that takes so many bytes.
type failing struct {
	file
	left *int
}

var errFull = errors.New("no space left on device")

func (f failing) Write(b []byte) (int, error) {
	if *f.left < len(b) {
		n, _ := f.file.Write(b[:*f.left])
		return n, errFull
	}
	*f.left -= len(b)
	return f.file.Write(b)
}

// TestFaultsOfTheDisk: they are counted and told, and writing goes on after a pause.
func TestFaultsOfTheDisk(t *testing.T) {
	left := 300_000
	now := time.Unix(0, begun)
	var told []error
	x := run(t, Options{
		MaxBytes: LeastBytes, Now: func() time.Time { return now }, Condition: func(err error) { told = append(told, err) },
		open: func(path string) (file, error) {
			f, err := createFile(path)
			return failing{f, &left}, err
		},
	})
	add := func(n int) {
		for i := range n {
			x.add(t, datagram(i, 1, 1000))
		}
		x.written(t)
	}
	add(200)
	add(200)
	s := x.Stats()
	if s.Packets != 200 || s.DroppedError != 200 || s.Errors != 1 || len(told) != 1 || !errors.Is(told[0], errFull) {
		t.Fatalf("%+v, told %v", s, told)
	}
	add(1) // not tried, and so no further error
	for range 3 {
		left = fileHead // and no frame
		now = now.Add(time.Minute)
		add(1)
	}
	if n := len(x.segments); n != 1 || x.Stats().Errors != 4 {
		t.Errorf("%d segments, %+v", n, x.Stats())
	}
	left = 1 << 30
	now = now.Add(time.Minute)
	add(10)
	if s = x.Stats(); s.Packets != 210 || s.DroppedError != 204 || s.Errors != 4 || len(told) != 2 || told[1] != nil {
		t.Errorf("%+v, told %v", s, told)
	}
	if saved, frames := save(t, x.Ring, Query{}); len(frames) != 210 || saved.Damaged != 0 {
		t.Errorf("%d frames, %+v", len(frames), saved)
	}
}

func TestSaveEnds(t *testing.T) {
	x := run(t, Options{MaxBytes: LeastBytes})
	if s, _ := save(t, x.Ring, Query{}); !strings.Contains(s.String(), "is empty") {
		t.Errorf("%q", s.String())
	}
	for i := range 5000 {
		x.add(t, datagram(i, 1, 100))
	}
	x.written(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := x.Save(ctx, Query{}, io.Discard, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
	if _, err := x.Save(t.Context(), Query{}, brokenWriter{}, nil); !errors.Is(err, errFull) {
		t.Errorf("where nothing can be written: %v", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errFull }

// FuzzSegment: what lies in a ring's folder may be anything.
func FuzzSegment(f *testing.F) {
	head := header(packet.LinkEthernet)
	good := append(bytes.Clone(head[:]), 0, 0, 0, 1, 0, 0, 0, 0, 60, 0, 0, 0, 60, 0, 0, 0)
	good = append(good, datagram(0, 1, 60).Data...)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(append(bytes.Clone(good), good[fileHead:fileHead+12]...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		for _, n := range []uint64{1, 2} {
			if err := os.WriteFile(filepath.Join(dir, segmentName(n)), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		first, err := r.Save(t.Context(), Query{}, io.Discard, nil)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := r.Save(t.Context(), Query{}, io.Discard, nil); err != nil || again.Packets != first.Packets {
			t.Fatalf("%+v, then %+v, %v", first, again, err)
		}
	})
}
