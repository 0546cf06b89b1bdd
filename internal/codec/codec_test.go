package codec_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/codec"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestPackAndUnpack(t *testing.T) {
	raws := map[string][]byte{
		"empty": {}, "a byte": {7}, "text": []byte(strings.Repeat("/usr/sbin/sshd -D ", 400)),
		"zeros": make([]byte, 1<<20), "all bytes": func() []byte {
			var b []byte
			for i := range 3000 {
				b = append(b, byte(i*i>>3))
			}
			return b
		}(),
	}
	for name, raw := range raws {
		for _, c := range append(codec.Known(), codec.None) {
			t.Run(fmt.Sprint(name, " ", c), func(t *testing.T) {
				packed := c.Pack([]byte("before"), raw)
				if !bytes.HasPrefix(packed, []byte("before")) {
					t.Fatal("what was there is gone")
				}
				packed = packed[len("before"):]
				if n, err := c.Size(packed); err != nil || n != len(raw) {
					t.Fatalf("size %d, %v, want %d", n, err, len(raw))
				}
				got, err := c.Unpack([]byte("x"), packed, len(raw))
				if err != nil || !bytes.Equal(got, append([]byte("x"), raw...)) {
					t.Fatalf("unpacked %d bytes, %v", len(got), err)
				}
				if _, err := c.Unpack(nil, packed, len(raw)-1); !errors.Is(err, codec.ErrTooLarge) {
					t.Errorf("one byte too many: %v", err)
				}
			})
		}
	}
}

func TestUnpackRefuses(t *testing.T) {
	good := codec.S2.Pack(nil, []byte(strings.Repeat("abcdefgh", 100)))
	for name, tt := range map[string]struct {
		codec  codec.Codec
		packed []byte
		want   error
	}{
		"no codec that is known":       {9, good, codec.ErrUnknown},
		"nothing":                      {codec.S2, nil, codec.ErrCorrupt},
		"a length that never ends":     {codec.S2, bytes.Repeat([]byte{0xff}, 20), codec.ErrCorrupt},
		"a length alone":               {codec.S2, []byte{0xa0, 6}, codec.ErrCorrupt},
		"a length of four gigabytes":   {codec.S2, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0}, codec.ErrTooLarge},
		"a length that is too large":   {codec.S2, append([]byte{0xa1, 6}, good[2:]...), codec.ErrCorrupt},
		"a length that is too small":   {codec.S2, append([]byte{0x9f, 6}, good[2:]...), codec.ErrCorrupt},
		"cut short":                    {codec.S2, good[:len(good)-1], codec.ErrCorrupt},
		"more behind it":               {codec.S2, append(bytes.Clone(good), 0), codec.ErrCorrupt},
		"a copy from before the start": {codec.S2, []byte{8, 0x01, 0x10, 0x01}, codec.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := tt.codec.Unpack(nil, tt.packed, 1<<20); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	for announced, want := range map[string]codec.Codec{
		"": codec.None, "s2": codec.S2, " zstd , s2": codec.S2, "S2": codec.None, "s2x,s": codec.None, "none": codec.None,
		codec.Announce(codec.Known()): codec.S2,
	} {
		if got := codec.Choose(announced); got != want {
			t.Errorf("%q: %v, want %v", announced, got, want)
		}
	}
	for _, name := range []string{"none", "s2"} {
		if c, err := codec.Parse(name); err != nil || c.String() != name {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	if _, err := codec.Parse("zstd"); !errors.Is(err, codec.ErrUnknown) {
		t.Error(err)
	}
}

// FuzzUnpack: whatever bytes come, no more than what is allowed is made of them, and
// what they unpack to survives packing.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte{}, 10)
	f.Add(codec.S2.Pack(nil, []byte(strings.Repeat("event ", 50))), 300)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0}, 1<<16)
	f.Fuzz(func(t *testing.T, packed []byte, most int) {
		most = min(max(most, 0), 1<<16)
		raw, err := codec.S2.Unpack(nil, packed, most)
		if err != nil {
			return
		}
		if len(raw) > most {
			t.Fatalf("%d bytes, at most %d were allowed", len(raw), most)
		}
		again, err := codec.S2.Unpack(nil, codec.S2.Pack(nil, raw), len(raw))
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatal("packed and unpacked, it is another")
		}
	})
}

// TestRun: a run of events is what protobuf makes of PublishRequest.events.
func TestRun(t *testing.T) {
	events := [][]byte{nil, []byte("a"), bytes.Repeat([]byte("b"), 127), bytes.Repeat([]byte("c"), 128), make([]byte, 70_000)}
	var run []byte
	for _, e := range events {
		run = codec.AppendEvent(run, e)
	}
	want, err := proto.Marshal(&pb.PublishRequest{Events: events})
	if err != nil || !bytes.Equal(run, want) {
		t.Errorf("%.50x, want %.50x, %v", run, want, err)
	}
}
