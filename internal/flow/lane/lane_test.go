package lane_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/amoskys/amoskys/internal/flow/bpf"
	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/lane"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/tell"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// udp is an Ethernet frame of IPv4 and UDP from 192.0.2.1 to 192.0.2.2.
func udp(from, to uint16) []byte {
	b := make([]byte, 14+20+8+4)
	b[12] = 8
	ip := b[14:]
	ip[0], ip[3], ip[8], ip[9] = 0x45, 32, 64, 17
	copy(ip[12:], []byte{192, 0, 2, 1, 192, 0, 2, 2})
	binary.BigEndian.PutUint16(ip[20:], from)
	binary.BigEndian.PutUint16(ip[22:], to)
	binary.BigEndian.PutUint16(ip[24:], 12)
	return b
}

type lines []tell.Line

func (*lines) Opened(*track.Flow)    {}
func (*lines) Updated(*track.Flow)   {}
func (l *lines) Ended(f *track.Flow) { *l = append(*l, tell.LineOf(f)) }

// TestLane: a file becomes flows, but for what the filter does not take, among
// it what is too short for it.
func TestLane(t *testing.T) {
	var file bytes.Buffer
	w, err := capture.NewWriter(&file, packet.LinkEthernet, 65_535)
	if err != nil {
		t.Fatal(err)
	}
	short := udp(5000, 7)[:20]
	for i, frame := range [][]byte{udp(5000, 7), udp(5000, 7), udp(5001, 9), udp(5002, 7), short} {
		f := packet.Frame{Time: 1_700_000_000_000_000_000 + int64(i)*1e6, Data: frame, Wire: uint32(len(frame)), Link: packet.LinkEthernet}
		if err := w.Write(&f); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	source, err := capture.NewFile(&file)
	if err != nil {
		t.Fatal(err)
	}
	filter, err := lane.NewFilter("not udp port 9")
	if err != nil {
		t.Fatal(err)
	}
	var got lines
	l := lane.New(lane.Options{Source: source, Table: track.Options{Consumer: &got}, Keep: filter.Keep})
	if err := errors.Join(l.Run(t.Context()), source.Close()); err != nil {
		t.Fatal(err)
	}
	l.Close()
	c := l.Counts()
	if c.Filtered != 2 || c.Table.Packets != 3 {
		t.Errorf("%+v", c)
	}
	if len(got) != 2 || got[0].Packets != 2 || got[0].SrcIP != "192.0.2.1" || got[0].DstPort != 7 || got[0].Protocol != "udp" || got[0].Bytes != 64 {
		t.Errorf("%+v", got)
	}
}

func TestFilterFaults(t *testing.T) {
	var at *bpf.SyntaxError
	if _, err := lane.NewFilter("tcp port"); !errors.As(err, &at) {
		t.Errorf("%v has no place", err)
	}
}
