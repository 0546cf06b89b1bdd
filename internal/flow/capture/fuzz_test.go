package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// read reads data to its end and checks what a File promises of any bytes.
func read(t *testing.T, data []byte) {
	if _, err := readBytes(data); err != nil && strings.HasPrefix(err.Error(), "frames that are read together are others") {
		t.Fatal(err)
	}
	f, err := NewFile(bytes.NewReader(data))
	if err != nil {
		return
	}
	defer f.Close()
	var frame packet.Frame
	for n := 0; ; n++ {
		err := f.Next(&frame)
		if errors.Is(err, io.EOF) {
			return
		}
		if damage, ok := errors.AsType[*DamageError](err); ok {
			if damage.Offset < 0 || damage.Offset > int64(len(data)) {
				t.Fatalf("damage at byte %d of %d", damage.Offset, len(data))
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(frame.Data) > MaxSnap || uint64(frame.Wire) < uint64(len(frame.Data)) || n > len(data) {
			t.Fatalf("frame %d: %d bytes of %d", n, len(frame.Data), frame.Wire)
		}
	}
}

func FuzzPcap(f *testing.F) {
	for _, magic := range []uint32{pcapMicro, pcapNano, pcapModified} {
		f.Add(classic(binary.LittleEndian, magic))
		f.Add(classic(binary.BigEndian, magic))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) >= 4 && (data[0] == 0x1f || data[0] == 0x28) {
			return // packed: offsets are of what it unpacks to
		}
		read(t, data)
	})
}

func FuzzPcapng(f *testing.F) {
	n := (&next{}).section(binary.LittleEndian)
	n.iface(1, 0, n.option(optionResolution, 9), n.option(optionOffset, 1, 0, 0, 0, 0, 0, 0, 0), n.option(optionEnd))
	n.enhanced(0, 5, "frame", n.option(1, 'c')).block(blockSimple, append(n.order.AppendUint32(nil, 6), "simple"...)).block(77, make([]byte, 16))
	n.section(binary.BigEndian).iface(101, 9, n.option(optionResolution, 0x80|30)).enhanced(0, 1<<40, "another")
	f.Add(n.b)
	f.Fuzz(func(t *testing.T, data []byte) {
		if !bytes.HasPrefix(data, []byte{0x0a, 0x0d, 0x0d, 0x0a}) {
			return
		}
		read(t, data)
	})
}
