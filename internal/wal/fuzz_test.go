package wal

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// fuzzLimit keeps inputs small enough for the fuzzer to get anywhere.
const fuzzLimit = 64 << 10

// seedSegment is a segment with a checkpoint and two records.
func seedSegment(tb testing.TB) []byte {
	tb.Helper()
	disk := memfs.New()
	o := options(disk)
	o.Checkpoint = func() []byte { return []byte("state") }
	l, err := Open(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	for i := range 2 {
		if _, err := l.Append(tb.Context(), batch(i, 2, 20)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
	b, err := disk.Bytes(dir + "/" + segmentName(0))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// repair makes the checksum at the end of a structure right, which the fuzzer
// would never guess: what lies behind the check is fuzzed as well.
func repair(b []byte, crcAt int) []byte {
	if len(b) < crcAt+4 {
		return b
	}
	b = bytes.Clone(b)
	binary.LittleEndian.PutUint32(b[crcAt:], crcOf(b[:crcAt]))
	return b
}

// repairSegment makes the checksums of a segment's header and of the records
// that follow it right, as far as their lengths lead.
func repairSegment(b []byte) []byte {
	if len(b) < segmentHeaderBytes {
		return b
	}
	b = bytes.Clone(b)
	copy(b, segmentMagic)
	copy(b, repair(b[:segmentHeaderBytes], segmentCRCAt))
	salt := b[64:68]
	for rest := b[segmentHeaderBytes:]; len(rest) >= recordHeaderBytes; {
		length := binary.LittleEndian.Uint32(rest)
		if length < recordHeaderBytes || paddedSize(length) > int64(len(rest)) {
			break
		}
		copy(rest[atSalt:], salt)
		binary.LittleEndian.PutUint32(rest[atBodyCRC:], crcOf(rest[recordHeaderBytes:length]))
		copy(rest, repair(rest[:recordHeaderBytes], atHeaderCRC))
		size := paddedSize(length)
		binary.LittleEndian.PutUint32(rest[size-recordTrailerBytes:], ^length)
		rest = rest[size:]
	}
	return b
}

// FuzzRecord feeds bytes to the record decoder: what it accepts must come out
// the same when it is encoded again.
func FuzzRecord(f *testing.F) {
	seg := seedSegment(f)
	var sh segmentHeader
	if reason := sh.parse(seg); reason != "" {
		f.Fatal(reason)
	}
	for pos := segmentHeaderBytes; pos < len(seg); {
		var h header
		if reason := h.parse(seg[pos:], sh.salt); reason != "" {
			f.Fatal(reason)
		}
		f.Add(seg[pos:pos+int(h.size())], sh.salt)
		pos += int(h.size())
	}
	f.Fuzz(func(t *testing.T, b []byte, salt uint32) {
		if len(b) < recordHeaderBytes || len(b) > fuzzLimit {
			return
		}
		b = repair(b, atHeaderCRC)
		var h header
		if h.parse(b, salt) != "" {
			return
		}
		if size := h.size(); int64(len(b)) < size || h.checkBody(b[:size]) != "" {
			return
		}
		again := make([]byte, recordHeaderBytes)
		h.put(again)
		if b[atReserved] == 0 && b[atReserved+1] == 0 && !bytes.Equal(again, b[:recordHeaderBytes]) {
			t.Fatalf("%x became %x", b[:recordHeaderBytes], again)
		}
		var e Entry
		e.set(&h, b, 0)
		n := 0
		for range e.Events() {
			n++
		}
		if n > len(e.Payload) {
			t.Fatalf("%d events in %d bytes", n, len(e.Payload))
		}
	})
}

// FuzzSegment opens, reads, verifies and appends to a log whose only segment
// is whatever the fuzzer thinks of.
func FuzzSegment(f *testing.F) {
	seg := seedSegment(f)
	f.Add(seg, false)
	f.Add(seg[:len(seg)-9], false)
	f.Add(seg[:segmentHeaderBytes], true)
	f.Add(append(bytes.Clone(seg), make([]byte, 300)...), false)
	damaged := bytes.Clone(seg)
	damaged[segmentHeaderBytes+40] ^= 1
	f.Add(damaged, false)
	f.Fuzz(func(t *testing.T, b []byte, repaired bool) {
		if len(b) > fuzzLimit {
			return
		}
		if repaired {
			b = repairSegment(b)
		}
		disk := memfs.New()
		if err := disk.Put(dir+"/"+segmentName(0), b); err != nil {
			t.Fatal(err)
		}
		verify(t, disk)
		if _, err := Inspect(t.Context(), disk, dir); err != nil {
			t.Fatal(err)
		}
		if err := Scan(t.Context(), disk, dir, "", 0, func(Found) bool { return true }); err != nil {
			t.Fatal(err)
		}
		l, err := Open(t.Context(), options(disk))
		if err != nil {
			t.Fatal(err)
		}
		first, err := l.Append(t.Context(), record("a", 1, "after"))
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := readAll(t, l, 0); got[first] != "after" {
			t.Fatalf("got %q at %d", got[first], first)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		// The second time there is nothing new to find.
		l, err = Open(t.Context(), options(disk))
		if err != nil {
			t.Fatal(err)
		}
		if st := l.Stat(); st.NextOffset != first+1 {
			t.Fatalf("the log ends at %d, want %d", st.NextOffset, first+1)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzSegmentHeader feeds bytes to the decoder of segment headers.
func FuzzSegmentHeader(f *testing.F) {
	f.Add(seedSegment(f)[:segmentHeaderBytes])
	f.Add([]byte(segmentMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h segmentHeader
		if h.parse(repair(b, segmentCRCAt)) != "" {
			return
		}
		var again segmentHeader
		if reason := again.parse(h.encode()); reason != "" || again != h {
			t.Fatalf("%+v became %+v: %s", h, again, reason)
		}
	})
}

// FuzzCursor feeds bytes to the decoder of cursors.
func FuzzCursor(f *testing.F) {
	c := CursorInfo{Offset: 42, Hold: true}
	f.Add(c.encode())
	f.Add([]byte(cursorMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c CursorInfo
		if c.parse(repair(b, cursorCRCAt)) != "" {
			return
		}
		var again CursorInfo
		if reason := again.parse(c.encode()); reason != "" || again != c {
			t.Fatalf("%+v became %+v: %s", c, again, reason)
		}
	})
}

// FuzzHead feeds bytes to the decoder of the head file's slots.
func FuzzHead(f *testing.F) {
	h := head{serial: 3, oldest: 1, next: 7}
	f.Add(h.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		var h head
		if !h.parse(repair(b, headCRCAt)) {
			return
		}
		var again head
		if !again.parse(h.encode()) || again != h {
			t.Fatalf("%+v became %+v", h, again)
		}
	})
}

// FuzzEvents feeds bytes to the walk over a payload.
func FuzzEvents(f *testing.F) {
	f.Add(payload("one", "two", ""))
	f.Add([]byte{0x08, 0x96, 0x01, 0x1a, 0x01, 'x', 0x25, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		e := Entry{First: 5, Count: len(b), Payload: b}
		next := Offset(5)
		for off, ev := range e.Events() {
			if off != next || len(ev) > len(b) {
				t.Fatalf("offset %d, want %d; %d bytes", off, next, len(ev))
			}
			next++
		}
	})
}
