package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// fuzzLimit keeps inputs small enough for the fuzzer to get anywhere.
const fuzzLimit = 64 << 10

// seedSegment is a segment with a checkpoint and two records.
func seedSegment(tb testing.TB, sh *shape) []byte {
	tb.Helper()
	disk := memfs.New()
	o := sh.options(disk)
	o.Checkpoint = func() []byte { return []byte("state") }
	l, err := Open(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	for i := range 2 {
		if _, err := l.Append(tb.Context(), sh.batch(i, 2, 20)); err != nil {
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
	seg := seedSegment(f, newest())
	var sh segmentHeader
	if reason, err := sh.parse(seg); reason != "" || err != nil {
		f.Fatal(reason, err)
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
		if !bytes.Equal(again, b[:recordHeaderBytes]) {
			t.Fatalf("%x became %x", b[:recordHeaderBytes], again)
		}
		var e Entry
		e.set(&h, b, 0)
		n := 0
		for range e.Events() {
			n++
		}
		fields, err := e.Fields()
		if n > len(fields) || err != nil && n > 0 {
			t.Fatalf("%d events in %d bytes, %v", n, len(fields), err)
		}
	})
}

// FuzzSegment opens, reads, verifies and appends to a log whose only segment
// is whatever the fuzzer thinks of.
func FuzzSegment(f *testing.F) {
	seg := seedSegment(f, newest())
	f.Add(seg, false)
	f.Add(seg[:len(seg)-9], false)
	f.Add(seg[:segmentHeaderBytes], true)
	f.Add(append(bytes.Clone(seg), make([]byte, 300)...), false)
	damaged := bytes.Clone(seg)
	damaged[segmentHeaderBytes+40] ^= 1
	f.Add(damaged, false)
	unpackable := bytes.Clone(seg)
	unpackable[bytes.LastIndexByte(seg, 'x')] ^= 0xff // in the packed record
	f.Add(unpackable, true)
	newer := bytes.Clone(seg)
	newer[segmentHeaderBytes+paddedSize(recordHeaderBytes+5)+atCodec] = 77
	f.Add(newer, true)
	f.Add(seedSegment(f, &allShapes(3)[0]), false)
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
		var h segmentHeader
		if _, newer := h.parse(b[:min(len(b), segmentHeaderBytes)]); newer != nil {
			if _, err := Open(t.Context(), options(disk)); err == nil {
				t.Fatalf("opened, although %v", newer)
			}
			return
		}
		if _, err := Verify(t.Context(), disk, dir, nil); errors.Is(err, ErrNewer) {
			if _, err := Open(t.Context(), options(disk)); !errors.Is(err, ErrNewer) {
				t.Fatalf("opened what is of a newer build: %v", err)
			}
			return
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
		// What can be read of it can be rewritten.
		before, _ := lines(t, disk)
		if _, err := Rewrite(t.Context(), RewriteOptions{Dir: dir, FS: disk, Format: 1}); err != nil {
			t.Fatal(err)
		}
		after, _ := lines(t, disk)
		// Events that cannot be had need not be kept; Submit refuses such records.
		lacking := func(l line) bool { return l.Fields == "unreadable" || l.Count > len(l.Fields) }
		if before, after = slices.DeleteFunc(before, lacking), slices.DeleteFunc(after, lacking); !slices.Equal(after, before) {
			t.Fatalf("%+v became %+v", before, after)
		}
	})
}

// FuzzSegmentHeader feeds bytes to the decoder of segment headers.
func FuzzSegmentHeader(f *testing.F) {
	f.Add(seedSegment(f, newest())[:segmentHeaderBytes])
	f.Add([]byte(segmentMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h segmentHeader
		if reason, err := h.parse(repair(b, segmentCRCAt)); reason != "" || err != nil {
			return
		}
		var again segmentHeader
		if reason, err := again.parse(h.encode()); reason != "" || err != nil || again != h {
			t.Fatalf("%+v became %+v: %s, %v", h, again, reason, err)
		}
	})
}

// FuzzCursor feeds bytes to the decoder of cursors.
func FuzzCursor(f *testing.F) {
	c := CursorInfo{Offset: 42, Hold: true}
	f.Add(encodeCursor(&c))
	f.Add([]byte(cursorMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c CursorInfo
		if parseCursor(&c, repair(b, cursorCRCAt)) != "" {
			return
		}
		var again CursorInfo
		if reason := parseCursor(&again, encodeCursor(&c)); reason != "" || again != c {
			t.Fatalf("%+v became %+v: %s", c, again, reason)
		}
	})
}

// FuzzHead feeds bytes to the decoder of the head file's slots.
func FuzzHead(f *testing.F) {
	f.Add((&head{serial: 3, removed: 1, next: 7}).encode())
	f.Add((&head{serial: 4, next: 900, note: note{newest: 70, hasNewest: true, closed: true, lastID: 2, losses: []loss{
		{id: 1, from: 0, to: 10, noticed: time.Unix(1, 2).UTC(), cause: lostBeginning},
		{id: 2, from: 40, to: 60, unknown: true, noticed: time.Unix(3, 4).UTC(), accepted: time.Unix(5, 6).UTC(), cause: lostEnd},
	}}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		b = repair(b, headCRCAt)
		if len(b) >= headSlotEvery {
			b = repair(b[:headSlotEvery:headSlotEvery], noteCRCAt)
			binary.LittleEndian.PutUint32(b[noteCRCAt:], crcOf(b[noteAt:noteCRCAt]))
		}
		var h head
		if !h.parse(b) {
			return
		}
		if !h.note.parse(b) {
			h.note = note{}
		}
		var again head
		slot := h.encode()
		if !again.parse(slot) || !again.note.parse(slot) {
			t.Fatalf("%+v cannot be read again", h)
		}
		again.note.serial = h.note.serial // that of the slot
		if !reflect.DeepEqual(again, h) {
			t.Fatalf("%+v became %+v", h, again)
		}
	})
}

// FuzzEvents feeds bytes to the walk over a payload.
func FuzzEvents(f *testing.F) {
	f.Add(payload("one", "two", ""))
	f.Add([]byte{0x08, 0x96, 0x01, 0x1a, 0x01, 'x', 0x25, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		e := Entry{Entry: stream.Entry{First: 5, Count: len(b), Payload: b}}
		next := Offset(5)
		for off, ev := range e.Events() {
			if off != next || len(ev) > len(b) {
				t.Fatalf("offset %d, want %d; %d bytes", off, next, len(ev))
			}
			next++
		}
	})
}

// FuzzPacked stores what a broken program may have packed: whatever it is, no more events
// are read than it says, verify and readers agree on whether they can be had, and the log
// can be rewritten.
func FuzzPacked(f *testing.F) {
	good := codec.S2.Pack(nil, payload("one", "two", "three"))
	f.Add(good, 3, uint8(codec.S2))
	f.Add(good, 2, uint8(codec.S2))
	f.Add(good[:len(good)-2], 3, uint8(codec.S2))
	f.Add([]byte{0xff, 0xff, 0xff, 0x0f}, 9, uint8(codec.S2))
	f.Add(payload("raw"), 1, uint8(codec.None))
	f.Add(good, 3, uint8(9))
	f.Fuzz(func(t *testing.T, b []byte, count int, c uint8) {
		if len(b) > fuzzLimit {
			return
		}
		disk := memfs.New()
		l, err := Open(t.Context(), options(disk))
		if err != nil {
			t.Fatal(err)
		}
		r := &Record{Publisher: "agent/a", Received: time.Unix(1, 0), Count: count, Payload: [][]byte{b}, Codec: codec.Codec(c)}
		_, err = l.Append(t.Context(), r)
		if size, sizeErr := r.Codec.Size(b); err == nil && (sizeErr != nil || size < count || count < 1) {
			t.Fatalf("stored %d events in %d bytes, %v", count, size, sizeErr)
		}
		stored := err == nil
		had := 0
		if stored {
			reader, err := l.NewReader(0)
			if err != nil {
				t.Fatal(err)
			}
			e, ok, err := reader.TryNext()
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			for off := range e.Events() {
				if off >= Offset(count) {
					t.Fatalf("event %d of %d", off, count)
				}
				had++
			}
			if _, err = e.Fields(); err != nil && had > 0 {
				t.Fatalf("%d events, and %v", had, err)
			}
			if err := reader.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if rep := verify(t, disk); !rep.OK {
			t.Fatalf("%+v", rep)
		}
		rep, err := VerifyWith(t.Context(), disk, dir, VerifyOptions{Unpack: true})
		if err != nil || rep.OK != (!stored || had == count) {
			t.Fatalf("%d events of %d, verify %+v, %v", had, count, rep, err)
		}
		before, _ := lines(t, disk)
		plan, err := Rewrite(t.Context(), RewriteOptions{Dir: dir, FS: disk, Format: 1})
		after, _ := lines(t, disk)
		before = slices.DeleteFunc(before, func(l line) bool { return l.Fields == "unreadable" })
		if err != nil || len(after) != len(before) || len(after) > 0 && after[0] != before[0] || plan.Records != len(after) {
			t.Fatalf("%+v became %+v, %+v, %v", before, after, plan, err)
		}
	})
}
