package capture

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// seen is a frame with a copy of its bytes.
type seen struct {
	Time      int64
	Data      string
	Wire      uint32
	Link      packet.Link
	Interface uint16
}

// readAll reads frames until an error, which it returns unless it is io.EOF.
func readAll(f *File) (frames []seen, err error) {
	var frame packet.Frame
	for {
		if err := f.Next(&frame); errors.Is(err, io.EOF) {
			return frames, nil
		} else if err != nil {
			return frames, err
		}
		frames = append(frames, seen{frame.Time, string(frame.Data), frame.Wire, frame.Link, frame.Interface})
	}
}

// readBytes reads frames one by one, and sees to it that the same come together.
func readBytes(b []byte) ([]seen, error) {
	f, err := NewFile(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	frames, err := readAll(f)
	together, togetherErr := readTogether(b)
	if diff := cmp.Diff(frames, together); diff != "" || fmt.Sprint(err) != fmt.Sprint(togetherErr) {
		return nil, fmt.Errorf("frames that are read together are others, %v instead of %v:\n%s", togetherErr, err, diff) //nolint:errorlint // of the test itself
	}
	return frames, errors.Join(err, f.Close())
}

// readTogether is readAll of a file by Batch.
func readTogether(b []byte) (frames []seen, err error) {
	f, err := NewFile(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var room [8]packet.Frame
	for {
		n, err := f.Batch(room[:])
		if errors.Is(err, io.EOF) {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		for _, frame := range room[:n] {
			frames = append(frames, seen{frame.Time, string(frame.Data), frame.Wire, frame.Link, frame.Interface})
		}
	}
}

// classic builds a pcap file of two frames in a byte order.
func classic(order binary.AppendByteOrder, magic uint32) []byte {
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(b, 2)
	b = order.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = order.AppendUint32(b, 65535)
	b = order.AppendUint32(b, 1|4<<28|1<<26) // Ethernet with a check sequence of 4 bytes
	for _, data := range []string{"first frame", "second"} {
		b = order.AppendUint32(b, 1000)
		b = order.AppendUint32(b, 7)
		b = order.AppendUint32(b, uint32(len(data)))
		b = order.AppendUint32(b, uint32(len(data)+9))
		if magic == pcapModified {
			b = append(b, make([]byte, 8)...)
		}
		b = append(b, data...)
	}
	return b
}

func TestPcap(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		time int64
	}{
		{"little, microseconds", classic(binary.LittleEndian, pcapMicro), 1000_000007000},
		{"big, microseconds", classic(binary.BigEndian, pcapMicro), 1000_000007000},
		{"little, nanoseconds", classic(binary.LittleEndian, pcapNano), 1000_000000007},
		{"big, nanoseconds", classic(binary.BigEndian, pcapNano), 1000_000000007},
		{"modified", classic(binary.LittleEndian, pcapModified), 1000_000007000},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := []seen{{c.time, "first frame", 20, packet.LinkEthernet, 0}, {c.time, "second", 15, packet.LinkEthernet, 0}}
			got, err := readBytes(c.data)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Error(err, diff)
			}
		})
	}
}

// next builds pcapng files block by block.
type next struct {
	order binary.AppendByteOrder
	b     []byte
}

func (n *next) block(kind uint32, body []byte) *next {
	body = append(body, make([]byte, (4-len(body)%4)%4)...)
	length := uint32(12 + len(body))
	n.b = n.order.AppendUint32(n.b, kind)
	n.b = n.order.AppendUint32(n.b, length)
	n.b = append(n.b, body...)
	n.b = n.order.AppendUint32(n.b, length)
	return n
}

func (n *next) section(order binary.AppendByteOrder) *next {
	n.order = order
	body := order.AppendUint32(nil, byteOrderMagic)
	body = order.AppendUint16(body, 1)
	body = order.AppendUint16(body, 0)
	body = append(body, 255, 255, 255, 255, 255, 255, 255, 255)
	return n.block(blockSection, body)
}

func (n *next) iface(link uint16, snap uint32, options ...[]byte) *next {
	body := n.order.AppendUint16(nil, link)
	body = n.order.AppendUint16(body, 0)
	body = n.order.AppendUint32(body, snap)
	for _, o := range options {
		body = append(body, o...)
	}
	return n.block(blockInterface, body)
}

func (n *next) option(code uint16, value ...byte) []byte {
	b := n.order.AppendUint16(nil, code)
	b = n.order.AppendUint16(b, uint16(len(value)))
	b = append(b, value...)
	return append(b, make([]byte, (4-len(value)%4)%4)...)
}

func (n *next) enhanced(iface uint32, ticks uint64, data string, options ...[]byte) *next {
	body := n.order.AppendUint32(nil, iface)
	body = n.order.AppendUint32(body, uint32(ticks>>32))
	body = n.order.AppendUint32(body, uint32(ticks))
	body = n.order.AppendUint32(body, uint32(len(data)))
	body = n.order.AppendUint32(body, uint32(len(data)))
	body = append(body, data...)
	body = append(body, make([]byte, (4-len(data)%4)%4)...)
	for _, o := range options {
		body = append(body, o...)
	}
	return n.block(blockEnhanced, body)
}

func sample() []byte {
	n := (&next{}).section(binary.LittleEndian)
	n.iface(1, 0).iface(101, 3, n.option(optionResolution, 9), n.option(optionOffset, 100, 0, 0, 0, 0, 0, 0, 0), n.option(optionEnd))
	n.block(0x0bad, make([]byte, 400_000)) // custom, larger than the window
	n.enhanced(0, 1_000_000, "micro", n.option(1, []byte("a comment")...)).enhanced(1, 7, "nano")
	n.block(blockSimple, append(n.order.AppendUint32(nil, 6), "simple"...))
	old := n.order.AppendUint16(nil, 0)
	old = n.order.AppendUint16(old, 5)
	old = n.order.AppendUint32(old, 0)
	old = n.order.AppendUint32(old, 2_000_000)
	old = n.order.AppendUint32(old, 3)
	old = n.order.AppendUint32(old, 60)
	n.block(blockOldPacket, append(old, "old"...))
	n.section(binary.BigEndian).iface(228, 0, n.option(optionResolution, 0x80|10)).enhanced(0, 1024+512, "halves")
	return n.b
}

func TestPcapng(t *testing.T) {
	want := []seen{
		{1e9, "micro", 5, packet.LinkEthernet, 0},
		{100_000000007, "nano", 4, packet.LinkRaw, 1},
		{100_000000007, "simple", 6, packet.LinkEthernet, 0},
		{2e9, "old", 60, packet.LinkEthernet, 0},
		{1_500000000, "halves", 6, packet.LinkIPv4, 0},
	}
	got, err := readBytes(sample())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestResolution(t *testing.T) {
	for _, c := range []struct {
		exponent uint8
		binary   bool
		ticks    uint64
		want     int64
	}{
		{0, false, 5, 5e9},
		{3, false, 5, 5e6},
		{9, false, 5, 5},
		{12, false, 5000, 5},
		{19, false, 5e10, 5},
		{0, true, 5, 5e9},
		{32, true, 3 << 31, 1.5e9},
		{63, true, 3 << 62, 1.5e9},
	} {
		r := resolution{exponent: c.exponent, binary: c.binary}
		if got, ok := r.nanoseconds(c.ticks); got != c.want || !ok || !r.valid() {
			t.Errorf("%+v: %d ticks are %d ns, want %d", r, c.ticks, got, c.want)
		}
	}
	const most = math.MaxInt64
	for _, r := range []struct {
		resolution
		ticks uint64
	}{
		{resolution{exponent: 6}, math.MaxUint64},
		{resolution{exponent: 6}, most/1000 + 1},
		{resolution{exponent: 9}, 1 << 63},
		{resolution{binary: true}, 1 << 40},
		{resolution{exponent: 1, binary: true}, math.MaxUint64},
		{resolution{exponent: 9, offset: 1}, most},
	} {
		if at, ok := r.nanoseconds(r.ticks); ok {
			t.Errorf("%+v is told as %d", r, at)
		}
	}
	if at, ok := (resolution{exponent: 9, offset: -5e9}).nanoseconds(2e9); at != -3e9 || !ok {
		t.Errorf("a time before 1970 is %d, %v", at, ok)
	}
	if (resolution{exponent: 20}).valid() || (resolution{exponent: 64, binary: true}).valid() {
		t.Error("times that cannot be computed with are valid")
	}
}

// TestTimesThatCannotBeTold: a frame with such a time ends the file, and is not given one
// that wrapped around.
func TestTimesThatCannotBeTold(t *testing.T) {
	t.Parallel()
	begun := func() *next { return new(next).section(binary.LittleEndian).iface(1, 0).enhanced(0, 7, "told") }
	for name, n := range map[string]*next{
		"a time":    begun().enhanced(0, math.MaxUint64, "not"),
		"an offset": begun().iface(1, 0, begun().option(optionOffset, 255, 255, 255, 255, 255, 255, 255, 127)),
	} {
		got, err := readBytes(n.b)
		damage, is := errors.AsType[*DamageError](err)
		if len(got) != 1 || !is || !strings.Contains(damage.Reason, "cannot be told") {
			t.Errorf("%s: %d frames, then %v", name, len(got), err)
		}
	}
}

// TestDamage: frames before the damage are given, and its place is said.
func TestDamage(t *testing.T) {
	file := classic(binary.LittleEndian, pcapMicro)
	changed := func(b []byte, at int, to byte) []byte {
		b = bytes.Clone(b)
		b[at] = to
		return b
	}
	ng := (&next{}).section(binary.LittleEndian).iface(1, 0).enhanced(0, 0, "good").enhanced(0, 0, "bad!")
	second := len(ng.b) - 36
	for _, c := range []struct {
		name   string
		data   []byte
		frames int
		offset int64
		reason string
	}{
		{"cut within a frame", file[:len(file)-1], 1, 51, "the file ends within a frame"},
		{"cut within a header", file[:60], 1, 51, "the file ends within a frame's header"},
		{"cut within the file's header", file[:20], 0, 0, "the file ends within the file's header"},
		{"a frame too large", changed(file, 51+10, 0xff), 1, 51, "a frame of 16711686 bytes"},
		{"pcapng cut", ng.b[:len(ng.b)-1], 1, int64(second), "the file ends within a block"},
		{"pcapng, two lengths", changed(ng.b, len(ng.b)-4, 40), 1, int64(second), "a block of 36 bytes ends as one of 40"},
		{"pcapng, odd length", changed(ng.b, second+4, 37), 1, int64(second), "a block of 37 bytes"},
		{"pcapng, no such interface", changed(ng.b, second+8, 1), 1, int64(second), "a frame of interface 1, of which nothing was said"},
		{"pcapng, frame larger than block", changed(ng.b, second+20, 8), 1, int64(second), "a frame of 8 bytes in a block of 24"},
		{"pcapng, endless unknown block", (&next{}).section(binary.LittleEndian).block(77, make([]byte, 8)).b[:40], 0, 28, "the file ends within a block"},
	} {
		t.Run(c.name, func(t *testing.T) {
			frames, err := readBytes(c.data)
			var damage *DamageError
			if len(frames) != c.frames || !errors.As(err, &damage) || damage.Offset != c.offset || !strings.HasPrefix(damage.Reason, c.reason) {
				t.Errorf("%d frames, %v; want %d, byte %d: %s", len(frames), err, c.frames, c.offset, c.reason)
			}
		})
	}
}

func TestNotCapture(t *testing.T) {
	for _, text := range []string{"", "abc", "<html>no</html>", "\x0a\x0d\x0d\x0a but not a section"} {
		if _, err := readBytes([]byte(text)); !errors.Is(err, ErrNotCapture) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestPacked: files packed by gzip or zstd are read as they are.
func TestPacked(t *testing.T) {
	want, err := readBytes(sample())
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	g := gzip.NewWriter(&zipped)
	_, err = g.Write(sample())
	if err := errors.Join(err, g.Close()); err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"gzip": zipped.Bytes(), "zstd": z.EncodeAll(sample(), nil)} {
		got, err := readBytes(data)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Error(name, err, diff)
		}
		if _, err := readBytes(data[:len(data)/2]); err == nil {
			t.Errorf("%s: half a file is read without an error", name)
		}
	}
}

// TestFIFO: frames of a pipe are given as they come, and counted.
func TestFIFO(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	end := make(chan error, 1)
	go func() {
		out, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			for _, b := range classic(binary.BigEndian, pcapNano) {
				if _, err = out.Write([]byte{b}); err != nil {
					break
				}
			}
			err = errors.Join(err, out.Close())
		}
		end <- err
	}()
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	frames, err := readAll(f)
	if err := errors.Join(err, f.Close(), <-end); err != nil || len(frames) != 2 {
		t.Errorf("%d frames, %v", len(frames), err)
	}
	if got, want := f.Stats(), (Stats{Frames: 2, Bytes: 35}); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

func TestOpenFileNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(path, []byte("no capture"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(path); !errors.Is(err, ErrNotCapture) || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
	if _, err := OpenFile(path + ".absent"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestWriter(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b, packet.LinkEthernet, 8)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		w.Write(&packet.Frame{Time: 1_700_000_000_123456789, Data: []byte("a long frame"), Wire: 1500, Link: packet.LinkEthernet}),
		w.Write(&packet.Frame{Time: 2, Data: []byte("short"), Link: packet.LinkEthernet}),
		w.Flush())
	if err != nil {
		t.Fatal(err)
	}
	if w.Bytes() != int64(b.Len()) {
		t.Errorf("says %d bytes, wrote %d", w.Bytes(), b.Len())
	}
	got, err := readBytes(b.Bytes())
	want := []seen{{1_700_000_000_123456789, "a long f", 1500, packet.LinkEthernet, 0}, {2, "short", 5, packet.LinkEthernet, 0}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if w.Write(&packet.Frame{Link: packet.LinkRaw}) == nil || w.Write(&packet.Frame{Time: -1, Link: packet.LinkEthernet}) == nil {
		t.Error("a frame was written that the file cannot hold")
	}
}
