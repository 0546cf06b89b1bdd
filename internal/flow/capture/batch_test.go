package capture

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// TestBatch: frames that are read together are the same as one by one, and stay as
// they are until the next call, also where the window has to be filled between them.
func TestBatch(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file, packet.LinkEthernet, 65_535)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		data := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 7+i%700)
		f := packet.Frame{Time: int64(i) * 1e9, Data: data, Wire: uint32(len(data)), Link: packet.LinkEthernet}
		if err := w.Write(&f); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	whole := file.Bytes()
	for _, data := range [][]byte{whole, whole[:len(whole)-3]} { // the second is cut
		one, oneErr := readBy(t, data, 1)
		many, manyErr := readBy(t, data, 32)
		if len(one) < 2999 || len(one) != len(many) {
			t.Fatalf("%d frames one by one, %d together", len(one), len(many))
		}
		for i := range one { // as cmp would, in a hundredth of the time
			if !reflect.DeepEqual(one[i], many[i]) {
				t.Fatalf("frame %d is %+v one by one, and together %+v", i, one[i], many[i])
			}
		}
		if (oneErr == nil) != (manyErr == nil) {
			t.Errorf("one by one: %v; many: %v", oneErr, manyErr)
		}
	}
}

// readBy reads all frames, so many at once, and what reading ended with.
func readBy(t *testing.T, data []byte, most int) (frames []packet.Frame, err error) {
	t.Helper()
	f, err := NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	room := make([]packet.Frame, most)
	for {
		n, err := Batch(f, room)
		if errors.Is(err, io.EOF) {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		for _, one := range room[:n] {
			one.Data = bytes.Clone(one.Data)
			frames = append(frames, one)
		}
	}
}
