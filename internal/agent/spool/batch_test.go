package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/codec"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestBatchIsWhatTheWireCarries: packed bytes unpack to the events as they stand in a
// request, and lie in the file as they are handed out.
func TestBatchIsWhatTheWireCarries(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, Events: 300})
	var want []string
	for i := range 300 {
		want = append(want, fmt.Sprintf("event %d %s", i, strings.Repeat("/usr/sbin/sshd -D ", i)))
	}
	add(t, s, want...)
	b, got := next(t, s)
	wantEvents(t, got, want[:b.Count]...)
	if b.Codec != codec.S2 || b.Count < 2 {
		t.Fatalf("%d events, codec %v", b.Count, b.Codec)
	}
	fields, err := b.Codec.Unpack(nil, b.Packed, 1<<20)
	if err != nil || len(fields) > 256<<10 {
		t.Fatalf("%d bytes, %v", len(fields), err)
	}
	request := &pb.PublishRequest{}
	if err := proto.Unmarshal(fields, request); err != nil || len(request.GetEvents()) != b.Count {
		t.Errorf("%d events, %v", len(request.GetEvents()), err)
	}
	content, err := os.ReadFile(segmentFile(t, dir))
	if err != nil || !bytes.Contains(content, b.Packed) {
		t.Error("what is handed out is not what lies in the file")
	}
	st := s.Stats()
	if st.SealedBytes < 3*st.PackedBytes || st.PackedBytes == 0 {
		t.Errorf("%d bytes were packed to %d", st.SealedBytes, st.PackedBytes)
	}
}

// TestWhatDoesNotPackIsKept as it is.
func TestWhatDoesNotPackIsKept(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), Events: 2})
	one, two := noise(5000), noise(5000)
	add(t, s, one, two, "x", "y")
	b, got := next(t, s)
	wantEvents(t, got, one, two)
	if b.Codec != codec.None {
		t.Errorf("codec %v", b.Codec)
	}
	_, got = next(t, s)
	wantEvents(t, got, "x", "y")
}

func TestEventsOfBrokenBatches(t *testing.T) {
	field := codec.AppendEvent(nil, []byte("event"))
	for name, b := range map[string]Batch{
		"another field":      {Count: 1, Packed: []byte{0x12, 1, 'x'}},
		"a length too far":   {Count: 1, Packed: []byte{0x1a, 5, 'x'}},
		"no length":          {Count: 1, Packed: []byte{0x1a}},
		"a length of forty":  {Count: 1, Packed: bytes.Repeat([]byte{0xff}, 40)},
		"fewer than it says": {Count: 2, Packed: field},
		"more than it says":  {Count: 1, Packed: append(bytes.Clone(field), field...)},
		"packed by none":     {Count: 1, Packed: field, Codec: codec.S2},
		"unknown codec":      {Count: 1, Packed: field, Codec: 7},
		"a bomb":             {Count: 1, Packed: codec.S2.Pack(nil, make([]byte, maxFieldBytes+1)), Codec: codec.S2},
	} {
		if events, err := b.Events(); err == nil {
			t.Errorf("%s: %q", name, events)
		}
	}
}

// TestUrgentEventsDoNotWait: they take along what was there, and what comes later waits
// again.
func TestUrgentEventsDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{Dir: t.TempDir(), Age: time.Hour, Quiet: time.Hour})
		begin := time.Now()
		add(t, s, "a")
		if err := s.AppendUrgent([]byte("b")); err != nil {
			t.Fatal(err)
		}
		_, got := next(t, s)
		wantEvents(t, got, "a", "b")
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("it waited %v", waited)
		}
		add(t, s, "c")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the next one does not wait: %v", err)
		}
		s.Flush()
		_, got = next(t, s)
		wantEvents(t, got, "c")
	})
}

// TestBatchWaitsWhileEventsCome: a burst is handed out when it is over, and events that
// keep coming when the first has waited long enough.
func TestBatchWaitsWhileEventsCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{Dir: t.TempDir()})
		begin := time.Now()
		add(t, s, "a", "b", "c")
		_, got := next(t, s)
		wantEvents(t, got, "a", "b", "c")
		if waited := time.Since(begin); waited != DefaultQuiet {
			t.Errorf("a burst waited %v", waited)
		}
		begin = time.Now()
		go func() {
			for range 40 {
				_ = s.Append([]byte("x"))
				<-time.After(30 * time.Millisecond)
			}
		}()
		b, _ := next(t, s)
		if waited := time.Since(begin); waited != DefaultAge || b.Count != 17 {
			t.Errorf("%d events waited %v", b.Count, waited)
		}
		<-time.After(2 * time.Second)
	})
}

// TestPackedSpoolHoldsMore: the bound is on what lies on disk.
func TestPackedSpoolHoldsMore(t *testing.T) {
	o := Options{Dir: t.TempDir(), MaxBytes: 1 << 20, Policy: DropNewest}
	s := open(t, o)
	n := 0
	for ; ; n++ {
		event := fmt.Sprintf("%d %s %s", n, noise(60), strings.Repeat("the same in every event ", 20))
		if err := s.Append([]byte(event)); errors.Is(err, ErrFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if raw := n * 540; raw < 3<<20 {
		t.Errorf("%d events, %d bytes, fill a spool of 1 MiB", n, raw)
	}
	if b := s.Stats().Bytes; b > 1<<20 {
		t.Errorf("it has %d bytes", b)
	}
	crash(s)
	s = open(t, o)
	if got := drain(t, s); len(got) != n {
		t.Errorf("%d of %d events", len(got), n)
	}
	entries, _ := filepath.Glob(filepath.Join(o.Dir, homeName, "*.spool"))
	if len(entries) != 1 {
		t.Errorf("segments %v", entries)
	}
}
