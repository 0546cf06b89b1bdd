package admit_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/hub/admit"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func pack(raw []byte) []byte { return codec.S2.Pack(nil, raw) }

// carrying is a request that carries what was packed.
func carrying(packed []byte) []byte {
	return marshal(&pb.PublishRequest{ProducerId: id(1), Sequence: 7, Compressed: packed, Codec: pb.Codec_CODEC_S2})
}

func packed(events ...[]byte) []byte { return carrying(pack(batch(events...))) }

func number(field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.VarintType), v)
}

func TestParsePacked(t *testing.T) {
	three := batch(good(1), good(2), good(3))
	tests := []struct {
		name    string
		request []byte
		events  []byte // that shall be stored, unpacked
		as      []byte // how they shall be stored; nil for packed again
		count   int
		refused []uint32
		skewed  int
	}{
		{name: "one", request: packed(good(1)), events: batch(good(1)), as: pack(batch(good(1))), count: 1},
		{name: "three", request: packed(good(1), good(2), good(3)), events: three, as: pack(three), count: 3},
		{name: "none", request: carrying(pack(nil))},
		{
			name: "fields in any order, twice and unknown", events: three, as: pack(three), count: 3,
			request: slices.Concat(number(5, 0), number(500, 1), marshal(&pb.PublishRequest{Compressed: pack(three)}), number(5, 1),
				marshal(&pb.PublishRequest{Sequence: 7}), marshal(&pb.PublishRequest{ProducerId: id(1)})),
		},
		{
			name: "bytes that do not pack", events: batch(changed(func(e *pb.Event) { e.Message = noise })), count: 1,
			request: packed(changed(func(e *pb.Event) { e.Message = noise })), as: pack(batch(changed(func(e *pb.Event) { e.Message = noise }))),
		},
		{
			name: "Snappy's blocks", events: batch(good(1)), as: literal(batch(good(1))), count: 1,
			request: carrying(literal(batch(good(1)))),
		},
		{
			name: "bad ones alone are refused", events: three, count: 3, refused: []uint32{0, 2, 3, 5},
			request: packed([]byte("garbage"), good(1), nil, changed(func(e *pb.Event) { e.Message = strings.Repeat("x", 2000) }), good(2),
				changed(func(e *pb.Event) { e.Host.Name = "other" }), good(3)),
		},
		{name: "the last is bad", request: packed(good(1), good(2), good(3), nil), events: three, count: 3, refused: []uint32{3}},
		{name: "all are bad", request: packed(nil, []byte("x")), refused: []uint32{0, 1}},
		{name: "skewed", request: packed(at(-25*3600e9), good(1)), events: batch(at(-25*3600e9), good(1)), as: pack(batch(at(-25*3600e9), good(1))), count: 2, skewed: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r admit.Request
			for cut := range len(tt.request) + 1 {
				if err := r.Parse([][]byte{tt.request[:cut], {}, tt.request[cut:]}, &rules, now); err != nil {
					t.Fatalf("cut at %d: %v", cut, err)
				}
				stored := join(r.Payload)
				if tt.as != nil && !bytes.Equal(stored, tt.as) {
					t.Fatalf("cut at %d: stored as %x, came as %x", cut, stored, tt.as)
				}
				if got := unpack(t, &r); !bytes.Equal(got, tt.events) || r.Bytes != len(tt.events) || r.Stored != len(stored) {
					t.Fatalf("cut at %d: %d bytes, %d stored, are wrong: %x", cut, r.Bytes, r.Stored, got)
				}
				var refused []uint32
				for _, f := range r.Refused {
					refused = append(refused, f.Index)
				}
				if diff := cmp.Diff(tt.refused, refused); diff != "" || r.Count != tt.count || r.Skewed != tt.skewed || !r.HasProducer || r.Sequence != 7 {
					t.Fatalf("cut at %d: count %d, skewed %d, sequence %d, refused:\n%s", cut, r.Count, r.Skewed, r.Sequence, diff)
				}
			}
		})
	}
}

// noise is text that nothing makes shorter.
var noise = func() string {
	b, x := make([]byte, 600), uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = ' ' + byte(x>>24)%90
	}
	return string(b)
}()

// literal is a block of Snappy's that copies nothing.
func literal(raw []byte) []byte {
	b := protowire.AppendVarint(nil, uint64(len(raw)))
	for len(raw) > 0 {
		n := min(len(raw), 60)
		b = append(append(b, byte(n-1)<<2), raw[:n]...)
		raw = raw[n:]
	}
	return b
}

func unpack(t *testing.T, r *admit.Request) []byte {
	t.Helper()
	if len(r.Payload) == 0 {
		if r.Codec != codec.None || r.Count != 0 {
			t.Fatalf("%d events in nothing packed by %s", r.Count, r.Codec)
		}
		return nil
	}
	raw, err := r.Codec.Unpack(nil, join(r.Payload), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestParseRefusesPacked(t *testing.T) {
	whole := pack(batch(good(1), good(2)))
	zeros := pack(make([]byte, 64<<20))
	deep := batch(good(1))
	for range 5 {
		deep = marshal(&pb.PublishRequest{Compressed: pack(deep), Codec: pb.Codec_CODEC_S2})
	}
	tests := []struct {
		name    string
		request []byte
		want    error
		says    string
	}{
		{"events as well", slices.Concat(packed(good(1)), batch(good(2))), admit.ErrMalformed, "both events and compressed"},
		{"events before it", slices.Concat(batch(good(2)), packed(good(1))), admit.ErrMalformed, "both events and compressed"},
		{"refused events as well", slices.Concat(packed(good(1)), batch(nil)), admit.ErrMalformed, "both events and compressed"},
		{"twice", slices.Concat(packed(good(1)), marshal(&pb.PublishRequest{Compressed: whole})), admit.ErrMalformed, "twice"},
		{"empty", slices.Concat([]byte{0x22, 0}, number(5, 1)), admit.ErrMalformed, "compressed is empty"},
		{"no codec", marshal(&pb.PublishRequest{Compressed: whole}), admit.ErrMalformed, "without codec"},
		{"a codec alone", marshal(&pb.PublishRequest{Codec: pb.Codec_CODEC_S2}), admit.ErrMalformed, "codec s2 without compressed"},
		{"a codec and events", slices.Concat(request(good(1)), number(5, 1)), admit.ErrMalformed, "codec s2 without compressed"},
		{"a codec that nobody knows", slices.Concat(packed(good(1)), number(5, 2)), admit.ErrUnknownCodec, "number 2, it takes s2"},
		{"a codec that is one modulo 256", slices.Concat(packed(good(1)), number(5, 257)), admit.ErrUnknownCodec, "number 257"},
		{"a codec below zero", slices.Concat(packed(good(1)), number(5, ^uint64(0))), admit.ErrUnknownCodec, "number"},
		{"cut off", packed(good(1))[:40], admit.ErrMalformed, "cut off"},
		{"no length", carrying(bytes.Repeat([]byte{0xff}, 30)), admit.ErrMalformed, "no length"},
		{"a length that does not end", carrying([]byte{0x80}), admit.ErrMalformed, "no length"},
		{"a length alone", carrying([]byte{100}), admit.ErrMalformed, "damaged"},
		{"a length of one too many", carrying(append([]byte{whole[0] + 1}, whole[1:]...)), admit.ErrMalformed, "damaged"},
		{"a length of one too few", carrying(append([]byte{whole[0] - 1}, whole[1:]...)), admit.ErrMalformed, "damaged"},
		{"truncated", carrying(whole[:len(whole)-1]), admit.ErrMalformed, "damaged"},
		{"more behind it", carrying(append(bytes.Clone(whole), 0)), admit.ErrMalformed, "damaged"},
		{"a bomb", carrying(zeros), admit.ErrTooLarge, "67108864 bytes of events, at most 65536"},
		{"one byte too many", carrying(pack(make([]byte, 65537))), admit.ErrTooLarge, "larger than max"},
		{"a bomb that says to be small", carrying(append([]byte{100}, zeros[4:]...)), admit.ErrMalformed, "damaged"},
		{"a length of four gigabytes", carrying([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0}), admit.ErrTooLarge, "larger than max"},
		{"a length of more", carrying([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0}), admit.ErrMalformed, "no length"},
		{"zeros", carrying(pack(make([]byte, 1000))), admit.ErrMalformed, "something else than events behind event 0"},
		{"a sequence in it", carrying(pack(slices.Concat(batch(good(1)), number(2, 9)))), admit.ErrMalformed, "something else than events behind event 1"},
		{"packed in packed", carrying(pack(packed(good(1)))), admit.ErrMalformed, "something else than events"},
		{"and deeper", deep, admit.ErrMalformed, "something else than events"},
		{"unknown fields in it", carrying(pack(number(500, 1))), admit.ErrMalformed, "something else than events"},
		{"a tag not in its shortest form", carrying(pack([]byte{0x9a, 0, 1, 'x'})), admit.ErrMalformed, "something else than events"},
		{"a length not in its shortest form", carrying(pack([]byte{0x1a, 0x81, 0, 'x'})), admit.ErrMalformed, "not in its shortest form"},
		{"an endless length in it", carrying(pack(append([]byte{0x1a}, bytes.Repeat([]byte{0xff}, 40)...))), admit.ErrMalformed, "event 0 is cut off"},
		{"an event that is cut off", carrying(pack(batch(good(1), good(2))[:100])), admit.ErrMalformed, "event 1 is cut off"},
		{"a tag alone", carrying(pack([]byte{0x1a})), admit.ErrMalformed, "event 0 is cut off"},
		{"too many events", packed(make([][]byte, 101)...), admit.ErrTooManyEvents, "at most 100"},
		{"a sequence of zero", marshal(&pb.PublishRequest{ProducerId: id(1), Compressed: whole, Codec: pb.Codec_CODEC_S2}), admit.ErrMalformed, "sequence must count from 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, cut := range []int{0, 20, len(tt.request) / 2, len(tt.request) - 1} {
				var r admit.Request
				cut = min(cut, len(tt.request))
				err := r.Parse([][]byte{tt.request[:cut], tt.request[cut:]}, &rules, now)
				if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("cut at %d: %v, want %q", cut, err, tt.says)
				}
			}
		})
	}
}

// TestRefusalsOfPackedAreBounded: as those of a request that is not packed.
func TestRefusalsOfPackedAreBounded(t *testing.T) {
	wide := rules
	wide.MaxEvents, wide.MaxUnpackedBytes = 65_536, 1<<20
	var r admit.Request
	bad := make([][]byte, 4097)
	for i := range bad {
		bad[i] = make([]byte, 12) // no event
		_, _ = random.Read(bad[i])
	}
	if err := r.Parse([][]byte{packed(bad...)}, &wide, now); !errors.Is(err, admit.ErrTooManyBad) {
		t.Error(err)
	}
}

// TestPackedEventsTakeBytes: a small message holds no more events than agents send; one
// whose events are of their own holds as many as it may.
func TestPackedEventsTakeBytes(t *testing.T) {
	wide := rules
	wide.MaxEvents, wide.MaxUnpackedBytes = 2500, 1<<20
	var r admit.Request
	parse := func(events [][]byte) error { return r.Parse([][]byte{packed(events...)}, &wide, now) }
	if err := parse(slices.Repeat([][]byte{good(1)}, 1000)); err != nil || r.Count != 1000 {
		t.Errorf("%d events, %v", r.Count, err)
	}
	if err := parse(slices.Repeat([][]byte{good(1)}, 1001)); !errors.Is(err, admit.ErrTooManyEvents) || !strings.Contains(err.Error(), "at most 1000") {
		t.Error(err)
	}
	var own [][]byte
	for range wide.MaxEvents {
		own = append(own, changed(func(e *pb.Event) { _, _ = random.Read(e.Id) }))
	}
	if err := parse(own); err != nil || r.Count != wide.MaxEvents {
		t.Errorf("%d events, %v", r.Count, err)
	}
	if err := parse(append(own, good(1))); !errors.Is(err, admit.ErrTooManyEvents) || !strings.Contains(err.Error(), "at most 2500") {
		t.Error(err)
	}
}

var random = rand.NewChaCha8([32]byte{1})

// hall is a Room that counts.
type hall struct {
	asked, inside int64
	full          error
}

func (h *hall) Enter(n int64) error {
	if h.full != nil {
		return h.full
	}
	h.asked, h.inside = n, h.inside+n
	return nil
}

func (h *hall) Leave(n int64) { h.inside -= n }

func TestUnpackingAsksForRoom(t *testing.T) {
	raw := batch(good(1), good(2))
	h := &hall{}
	r := admit.Request{Room: h}
	for name, tt := range map[string]struct {
		request []byte
		asked   int64
		fails   bool
	}{
		"not packed":         {request(good(1)), 0, false},
		"packed":             {packed(good(1), good(2)), int64(len(raw)), false},
		"some are refused":   {packed(good(1), nil), int64(len(batch(good(1), nil))), false},
		"damaged":            {carrying(append([]byte{100}, "xyz"...)), 100, true},
		"no events":          {carrying(pack(make([]byte, 5000))), 5000, true},
		"too large":          {carrying(pack(make([]byte, 1<<20))), 0, true},
		"a length that lies": {carrying([]byte{0xff, 0xff, 3, 0, 0}), 65535, true},
	} {
		h.asked = 0
		if err := r.Parse([][]byte{tt.request}, &rules, now); (err != nil) != tt.fails {
			t.Errorf("%s: %v", name, err)
		}
		if h.asked != tt.asked || h.inside != 0 {
			t.Errorf("%s: asked for %d, want %d, and %d are left inside", name, h.asked, tt.asked, h.inside)
		}
	}
	b := packed(good(1), good(2))
	if err := r.Parse([][]byte{b[:50], b[50:]}, &rules, now); err != nil || h.asked != int64(len(raw)+len(pack(raw))) {
		t.Errorf("in pieces: asked for %d, %v: joining takes room as well", h.asked, err)
	}
	h.full = errors.New("not today")
	err := r.Parse([][]byte{packed(good(1))}, &rules, now)
	if !errors.Is(err, admit.ErrNoRoom) || !errors.Is(err, h.full) || r.Sequence != 7 || !r.HasProducer || r.Count != 0 || len(r.Payload) != 0 {
		t.Errorf("without room: %v, sequence %d, %d events", err, r.Sequence, r.Count)
	}
}

// TestPackedAgainIsItsOwn: what was packed again depends on no buffer that others get.
func TestPackedAgainIsItsOwn(t *testing.T) {
	var one, two admit.Request
	if err := one.Parse([][]byte{packed(good(9), nil, good(8))}, &rules, now); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := two.Parse([][]byte{packed(nil, good(1), nil, good(2))}, &rules, now); err != nil {
			t.Fatal(err)
		}
	}
	if got := unpack(t, &one); !bytes.Equal(got, batch(good(9), good(8))) {
		t.Errorf("another batch is in it: %x", got)
	}
	one.Release()
	if len(one.Payload) != 0 || one.Count != 2 || len(one.Refused) != 1 || one.Stored == 0 {
		t.Errorf("after Release: %+v", one)
	}
}

// TestLittleIsKept holds what a hub may hold of idle streams: each has a Request for every
// batch that may be on its way, and a small message unpacks to a megabyte, or has
// thousands of events refused.
func TestLittleIsKept(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one goroutine")
	}
	large := changed(func(e *pb.Event) { e.Message = strings.Repeat("m", 1<<20) })
	another := changed(func(e *pb.Event) { e.Host.Name = "other" })
	rules := rules
	rules.MaxEventBytes, rules.MaxUnpackedBytes, rules.MaxEvents = 2<<20, 4<<20, 1<<16
	for name, wire := range map[string][]byte{
		"unpacked, all accepted": carrying(pack(batch(large))),
		"unpacked, one refused":  carrying(pack(batch(good(1), another, large))),
		"refused":                request(make([][]byte, 4000)...),
		"every other is refused": request(slices.Repeat([][]byte{good(1), nil}, 4000)...),
	} {
		t.Run(name, func(t *testing.T) {
			const many = 100
			requests := make([]admit.Request, many)
			before := heap()
			for i := range requests {
				if err := requests[i].Parse([][]byte{wire}, &rules, now); err != nil {
					t.Fatal(err)
				}
				requests[i].Forget()
			}
			if more := heap() - before; more > many<<14 {
				t.Errorf("each of %d requests holds %d bytes", many, more/many)
			}
			runtime.KeepAlive(requests)
		})
	}
}

// heap is how many bytes are reachable; what pools keep takes two collections to go.
func heap() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestParsePackedAllocatesNothing: neither a usual batch nor one of a few bytes that is
// as large as may be once unpacked, of which somebody can send a thousand a second.
func TestParsePackedAllocatesNothing(t *testing.T) {
	events := make([][]byte, 50)
	for i := range events {
		events[i] = good(byte(i + 1))
	}
	large := changed(func(e *pb.Event) { e.Message = strings.Repeat("x", 20<<10) })
	wide := rules
	wide.MaxEventBytes, wide.MaxUnpackedBytes = 1<<20, 1088<<10
	for name, events := range map[string][][]byte{"usual": events, "large": slices.Repeat([][]byte{large}, 50)} {
		b := packed(events...)
		third := len(b) / 3
		var r admit.Request
		for _, pieces := range [][][]byte{{b}, {b[:third], b[third : 2*third], b[2*third:]}} {
			least := 100.0 // pools may be emptied, and the race detector does it on purpose
			for range 100 {
				least = min(least, testing.AllocsPerRun(1, func() {
					if err := r.Parse(pieces, &wide, now); err != nil || r.Count != 50 {
						t.Fatalf("count %d: %v", r.Count, err)
					}
				}))
			}
			if least > 0 {
				t.Errorf("%s: %v allocations a request in %d pieces", name, least, len(pieces))
			}
		}
	}
}

// FuzzParsePacked: what is packed is taken and refused exactly as it is when it is not,
// and what is stored is the same. Bytes are taken for events, for what was packed, and
// for events that were damaged once packed.
func FuzzParsePacked(f *testing.F) {
	for _, b := range [][]byte{
		batch(good(1), good(2)), batch(good(1), nil, []byte("garbage"), good(2), good(3)), request(good(1)), packed(good(1)), nil,
		pack(batch(good(1), good(2))), pack(packed(good(1))),
		{0x1a, 0x81, 0x00},
		bytes.Repeat([]byte{0x1a, 0x00}, 120),
		{0xff, 0xff, 0xff, 0xff, 0x0f, 0},
		literal(batch(good(5))),
	} {
		f.Add(b, uint16(9), uint16(3), byte(0xff))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut, at uint16, to byte) {
		if len(b) > 1<<17 {
			return
		}
		agreePacked(t, pack(b), int(cut))
		agreePacked(t, b, int(cut))
		damaged := pack(b)
		damaged[int(at)%len(damaged)] = to
		agreePacked(t, damaged, int(cut))
	})
}

// agreePacked parses what was packed, and what it unpacks to.
func agreePacked(t *testing.T, packed []byte, cut int) {
	t.Helper()
	whole := carrying(packed)
	cut = min(cut, len(whole))
	h := &hall{}
	var r, plain admit.Request
	r.Room = h
	err := r.Parse([][]byte{whole[:cut], whole[cut:]}, &rules, now)
	if h.inside != 0 || h.asked > int64(rules.MaxUnpackedBytes+len(packed)) {
		t.Fatalf("asked for %d bytes, %d are left inside", h.asked, h.inside)
	}
	raw, unpackErr := codec.S2.Unpack(nil, packed, rules.MaxUnpackedBytes)
	switch {
	case len(packed) == 0 || unpackErr != nil:
		if want := map[bool]error{false: admit.ErrMalformed, true: admit.ErrTooLarge}[errors.Is(unpackErr, codec.ErrTooLarge)]; !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
		return
	case !onlyEvents(raw):
		if err == nil {
			t.Fatal("took something else than events")
		}
		return
	}
	plainErr := plain.Parse([][]byte{slices.Concat(marshal(&pb.PublishRequest{ProducerId: id(1), Sequence: 7}), raw)}, &rules, now)
	for _, e := range []error{admit.ErrMalformed, admit.ErrTooManyBad, admit.ErrTooManyEvents} {
		if errors.Is(err, e) != errors.Is(plainErr, e) {
			t.Fatalf("packed: %v, not packed: %v", err, plainErr)
		}
	}
	if (err == nil) != (plainErr == nil) {
		t.Fatalf("packed: %v, not packed: %v", err, plainErr)
	}
	if err != nil {
		return
	}
	if diff := cmp.Diff(plain.Refused, r.Refused); diff != "" || r.Count != plain.Count || r.Skewed != plain.Skewed || r.Bytes != plain.Bytes {
		t.Fatalf("packed: %d events, %d skewed, %d bytes; not packed: %d, %d, %d; refused:\n%s", r.Count, r.Skewed, r.Bytes, plain.Count, plain.Skewed, plain.Bytes, diff)
	}
	if !bytes.Equal(unpack(t, &r), join(plain.Payload)) {
		t.Fatal("other events are stored when they are packed")
	}
	if len(r.Refused) == 0 && r.Count > 0 && !bytes.Equal(join(r.Payload), packed) {
		t.Fatal("not stored as it came")
	}
}

// onlyEvents reports whether bytes are fields of events as far as they are fields.
func onlyEvents(b []byte) bool {
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return true
		}
		if number != 3 || wire != protowire.BytesType || n != 1 {
			return false
		}
		if b = b[n:]; len(b) == 0 {
			return true
		}
		_, n = protowire.ConsumeBytes(b)
		if n < 0 {
			return true
		}
		b = b[n:]
	}
	return true
}
