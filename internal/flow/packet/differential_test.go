package packet_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/packet"
)

// told is what two decoders must agree on.
type told struct {
	Src, Dst         netip.Addr
	SrcPort, DstPort uint16
	Flags            uint8
	Seq, Ack         uint32
	Payload          int
}

// ours reads a frame with the Decoder; ok is false where the other can say nothing to
// compare: faults, fragments, frames without IP, and transports that it does not
// read.
func ours(d *packet.Decoder, f *packet.Frame) (t told, ok bool) {
	var p packet.Packet
	err := d.Decode(f, &p)
	if err != nil || p.Version == 0 || p.Fragment || !p.HasPorts || p.Protocol != 6 && p.Protocol != 17 {
		return told{}, false
	}
	return told{
		Src: netip.AddrFrom16(p.Src).Unmap(), Dst: netip.AddrFrom16(p.Dst).Unmap(), SrcPort: p.SrcPort, DstPort: p.DstPort,
		Flags: p.Flags, Seq: p.Seq, Ack: p.Ack, Payload: len(p.Payload),
	}, true
}

// theirs gives what gopacket makes of it: one answer for each IP header with a
// transport, since it unwraps more readily than we do.
func theirs(f *packet.Frame) (all []told) {
	links := map[packet.Link]layers.LinkType{packet.LinkRaw: layers.LinkTypeRaw, packet.LinkCooked2: layers.LinkTypeLinuxSLL2, packet.LinkIPv4: layers.LinkTypeIPv4, packet.LinkIPv6: layers.LinkTypeIPv6}
	link, ok := links[f.Link]
	if !ok {
		link = layers.LinkType(f.Link)
	}
	p := gopacket.NewPacket(f.Data, link, gopacket.DecodeOptions{NoCopy: true})
	var now told
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.IPv4:
			now = told{}
			now.Src, _ = netip.AddrFromSlice(l.SrcIP)
			now.Dst, _ = netip.AddrFromSlice(l.DstIP)
		case *layers.IPv6:
			now = told{}
			now.Src, _ = netip.AddrFromSlice(l.SrcIP)
			now.Dst, _ = netip.AddrFromSlice(l.DstIP)
			now.Src, now.Dst = now.Src.Unmap(), now.Dst.Unmap() // ours does not tell them apart
		case *layers.TCP:
			if len(l.Contents) < 20 {
				continue // it gave up within the header
			}
			now.SrcPort, now.DstPort, now.Seq, now.Ack = uint16(l.SrcPort), uint16(l.DstPort), l.Seq, l.Ack
			now.Flags, now.Payload = l.Contents[13], len(l.Payload)
			all = append(all, now)
		case *layers.UDP:
			now.SrcPort, now.DstPort, now.Payload = uint16(l.SrcPort), uint16(l.DstPort), len(l.Payload)
			all = append(all, now)
		}
	}
	return all
}

// compare says how the two disagree, "" where they do not.
func compare(d *packet.Decoder, f *packet.Frame) (differ string, compared bool) {
	we, ok := ours(d, f)
	if !ok {
		return "", false
	}
	they := theirs(f)
	if len(they) == 0 {
		return "", false
	}
	if slices.Contains(they, we) {
		return "", true
	}
	return fmt.Sprintf("ours   %+v\ntheirs %+v\n%x", we, they, f.Data[:min(len(f.Data), 200)]), true
}

// unread are samples with layers that gopacket does not read, or not at that place.
var unread = []string{
	"Ethernet over MPLS", "Ethernet over MPLS with control word", "PPTP", "ERSPAN I", "ERSPAN III", "VXLAN, group policy, VLAN inside", "Teredo", "L2TP",
	"MPLS in IP", "PPP", "PPP in short", "HDLC as PPP", "HDLC", "cooked", "cooked, second version", "BSD loopback of the other order", "UDP-Lite", "PPPoE", "IPv6 whole packet with fragment header",
	"raw IPv6", "Wi-Fi", "Wi-Fi behind radiotap", // of Wi-Fi it takes the last bytes for a check sequence
}

// TestAgainstGopacket: on frames of every layer, and on a thousand variations of each
// with some bytes changed, the two agree wherever both can read the frame.
func TestAgainstGopacket(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var d packet.Decoder
	compared := 0
	for _, s := range packet.Samples() {
		if slices.Contains(unread, s.Name) {
			continue
		}
		f := packet.Frame{Data: s.Data, Link: s.Link}
		if _, ok := ours(&d, &f); ok && len(theirs(&f)) == 0 {
			t.Errorf("%s: gopacket reads nothing of it", s.Name)
		}
		if differ, _ := compare(&d, &f); differ != "" {
			t.Errorf("%s:\n%s", s.Name, differ)
			continue
		}
		for range 1000 {
			f.Data = bytes.Clone(s.Data)
			for range 1 + random.IntN(3) {
				f.Data[random.IntN(len(f.Data))] = byte(random.Uint32())
			}
			differ, did := compare(&d, &f)
			if differ != "" {
				t.Fatalf("%s, changed:\n%s", s.Name, differ)
			}
			if did {
				compared++
			}
		}
	}
	if compared < 10_000 {
		t.Errorf("only %d frames were compared", compared)
	}
}

// TestCorpus compares the two on every frame of the captures in CAPTURE_CORPUS, and
// prints one line of figures. `make conformance` sets it.
func TestCorpus(t *testing.T) {
	corpus := os.Getenv("CAPTURE_CORPUS")
	if corpus == "" {
		t.Skip("CAPTURE_CORPUS names no folder of captures; make conformance does")
	}
	files, err := filepath.Glob(filepath.Join(corpus, "*.pcap*"))
	if err != nil {
		t.Fatal(err)
	}
	var read, frames, compared, differing, damaged int
	faults := map[string]int{}
	for _, path := range files {
		if e := filepath.Ext(path); e != ".pcap" && e != ".pcapng" {
			continue // what others expect of it
		}
		read++
		file, err := capture.OpenFile(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		var d packet.Decoder
		var f packet.Frame
		for err = file.Next(&f); err == nil; err = file.Next(&f) {
			frames++
			if fault, ok := errors.AsType[packet.Fault](d.Decode(&f, &packet.Packet{})); ok {
				faults[fault.Kind()]++
				t.Logf("%s: frame %d: %v (link %d)", filepath.Base(path), frames, fault, f.Link)
			}
			differ, did := compare(&d, &f)
			if did {
				compared++
			}
			if differ != "" {
				differing++
				t.Logf("%s: frame %d\n%s", filepath.Base(path), frames, differ)
			}
		}
		if !errors.Is(err, io.EOF) {
			damaged++
			t.Logf("%s: %v", filepath.Base(path), err)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
	fmt.Fprintf(os.Stdout, "%d captures, %d damaged, %d frames, faults %v; %d compared with gopacket, %d differ\n", read, damaged, frames, faults, compared, differing)
}
