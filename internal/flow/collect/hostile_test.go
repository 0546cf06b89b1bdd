package collect_test

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"

	"github.com/amoskys/amoskys/internal/flow/collect"
	"github.com/amoskys/amoskys/internal/flow/packet"
)

// TestHostile holds that what lies costs an error or a count, and that nothing of it
// is told.
func TestHostile(t *testing.T) {
	for name, text := range map[string]string{
		"empty":                         "",
		"another version":               "0007 0001 00000000",
		"v5 with fewer records":         "0005 001e  00002710  6553f100 00000000  00000007  00 01  0000",
		"v9 set of no length":           "0009 0001 00002710 6553f100 00000000 00000001  0100 0000 00000000",
		"v9 set beyond the end":         "0009 0001 00002710 6553f100 00000000 00000001  0100 ffff 00000000",
		"v9 template beyond its set":    "0009 0001 00002710 6553f100 00000000 00000001  0000 0010 0100 ffff 00080004 000c0004",
		"v9 options beyond their set":   "0009 0001 00002710 6553f100 00000000 00000001  0001 0010 0100 fffc fffc 0001 0004 0000",
		"template of no length":         "000a 0024 6553f100 00000000 00000001  0002 0010 0100 0002 0008 0000 000c 0000  0100 0004",
		"fields of 65,534 bytes":        "000a 0028 6553f100 00000000 00000001  0002 0010 0100 0002 0008 fffe 000c fffe  0100 0008 00000000",
		"variable beyond the set":       "000a 002a 6553f100 00000000 00000001  0002 0010 0100 0002 0008 ffff 000c ffff  0100 000a ffffff 000000",
		"ipfix shorter than its header": "000a 0004 6553f100 00000000 00000001",
		"more scopes than fields":       "000a 0022 6553f100 00000000 00000001  0003 0012 0100 0002 0009 0008 0004 000c 0004",
		"enterprise without a number":   "000a 0020 6553f100 00000000 00000001  0002 0010 0100 0002 00080004 80010004",
		"sflow with endless samples":    "00000005 00000001 c0000201 00000000 00000001 00000001 ffffffff",
		"sflow with a long sample":      "00000005 00000001 c0000201 00000000 00000001 00000001 00000001 00000001 fffffffd",
		"sflow with endless records":    "00000005 00000001 c0000201 00000000 00000001 00000001 00000001 00000001 00000020 00000001 00000001 00000001 00000001 00000000 00000001 00000002 ffffffff",
	} {
		t.Run(name, func(t *testing.T) {
			c := collect.New(collect.Options{})
			_ = c.Datagram(netip.AddrPortFrom(router, 2055), bytesOf(t, text), 1, func(r *collect.Record) { t.Errorf("told %s", line(r)) })
			if s := c.Stats(); s.Malformed+s.Unsupported+s.TemplatesRefused+s.Templates == 0 {
				t.Errorf("nothing was counted: %+v", s)
			}
		})
	}
}

// TestFieldsWithoutBytes: a template of fields that records have no bytes for would make
// each byte of a set cost the reading of them all.
func TestFieldsWithoutBytes(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		refused uint64
	}{
		"ipfix, a field of no length":      {"000a 0024 6553f100 00000000 00000001  0002 0014 0100 0003 0008 0004 000c 0004 0007 0000", 1},
		"v9, a field of no length":         {"0009 0001 00002710 6553f100 00000000 00000001  0000 0014 0100 0003 0008 0004 000c 0004 0007 0000", 1},
		"ipfix, a field of unknown length": {"000a 0024 6553f100 00000000 00000001  0002 0014 0100 0003 0008 0004 000c 0004 0007 ffff", 0},
	} {
		collector := collect.New(collect.Options{})
		_ = collector.Datagram(netip.AddrPortFrom(router, 2055), bytesOf(t, c.text), 1, func(*collect.Record) {})
		if s := collector.Stats(); s.TemplatesRefused != c.refused || s.Templates != 1-c.refused {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// manyTemplates is a message with as many templates of IPFIX as fit, of ids from first
// on.
func manyTemplates(first int, domain uint32) []byte {
	const count = 3000
	b := binary.BigEndian.AppendUint16(nil, 10)
	b = binary.BigEndian.AppendUint16(b, 16+4+count*12)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, domain)
	b = binary.BigEndian.AppendUint16(b, 2)
	b = binary.BigEndian.AppendUint16(b, 4+count*12)
	for i := range count {
		b = binary.BigEndian.AppendUint16(b, uint16(256+(first+i)%65000))
		b = append(b, 0, 2, 0, 8, 0, 4, 0, 12, 0, 4)
	}
	return b
}

// TestBoundedMemory floods a Collector with templates, domains, waiting sets and
// exporters.
func TestBoundedMemory(t *testing.T) {
	c := collect.New(collect.Options{MaxExporters: 32})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	waiting := append(bytesOf(t, "000a ea60 6553f100 00000000 00000001  8000 ea50"), make([]byte, 0xea60-20)...)
	for i := range 100 {
		from := netip.AddrFrom4([4]byte{10, 0, 0, byte(i / 2)})
		_ = c.Datagram(netip.AddrPortFrom(from, 2055), manyTemplates(i*3000, uint32(i)), int64(i), func(*collect.Record) {})
		_ = c.Datagram(netip.AddrPortFrom(from, 2055), waiting, int64(i), func(*collect.Record) {})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	s := c.Stats()
	if s.TemplatesEvicted == 0 || s.Evicted == 0 || s.Unread == 0 {
		t.Errorf("%+v", s)
	}
	held := int64(after.HeapAlloc-before.HeapAlloc) >> 20
	t.Logf("%d MiB are held of 32 exporters", held)
	if held > 24 {
		t.Errorf("%d MiB are held", held)
	}
	runtime.KeepAlive(c)
}

// sflowDatagram has one flow sample, at 1 of rate, of an Ethernet frame.
func sflowDatagram(rate uint32, frame []byte) []byte {
	u32 := binary.BigEndian.AppendUint32
	header := append([]byte(nil), frame...)
	for len(header)%4 != 0 {
		header = append(header, 0)
	}
	record := u32(u32(u32(u32(nil, 1), uint32(len(frame)+4)), 4), uint32(len(frame)))
	record = append(record, header...)
	sample := u32(u32(u32(u32(nil, 1), 5), rate), 1000)
	sample = u32(u32(u32(u32(sample, 0), 5), 6), 1)
	sample = append(u32(u32(sample, 1), uint32(len(record))), record...)
	b := u32(u32(u32(u32(u32(nil, 5), 1), 0xc0000201), 0), 1)
	b = u32(u32(b, 1000), 2)
	b = append(u32(u32(b, 1), uint32(len(sample))), sample...)
	return u32(u32(u32(b, 2), 4), 0) // and a counter sample
}

// TestSFlow joins samples of both directions of one connection.
func TestSFlow(t *testing.T) {
	c, j := collect.New(collect.Options{}), collect.NewJoiner(collect.JoinOptions{})
	var got []string
	tell := func(r *collect.Record) { got = append(got, line(r)) }
	for i := range 3 {
		for _, f := range [][]byte{
			frame(false, 200, 10, 6, tcp(443, 40_000, 1, packet.ACK, 1000)),
			frame(false, 10, 200, 6, tcp(40_000, 443, 1, packet.ACK, 0)),
		} {
			if err := c.Datagram(netip.AddrPortFrom(router, 2055), sflowDatagram(512, f), int64(i+1)*1e9, func(r *collect.Record) { j.Add(r, tell) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	j.Advance(20e9, tell)
	want := "sflow5 6 192.0.2.10:40000>192.0.2.200:443 00:00:01.000 00:00:03.000 1536 61440 1536 1597440 1/512"
	if len(got) != 1 || got[0] != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if s := c.Stats(); s.Counters != 6 || s.Malformed != 0 {
		t.Errorf("%+v", s)
	}
}

// BenchmarkDatagram reads datagrams of v5 and v9 and tells of their records.
func BenchmarkDatagram(b *testing.B) {
	v5 := bytesOf(b, flow5)
	for len(v5) < 24+30*48 {
		v5 = append(v5, v5[24:72]...)
	}
	v5[3] = 30
	v9 := bytesOf(b, data9)
	record := v9[24:53]
	v9 = v9[:24]
	for range 40 {
		v9 = append(v9, record...)
	}
	binary.BigEndian.PutUint16(v9[22:], uint16(len(v9)-20))
	for name, c := range map[string]struct {
		datagram []byte
		records  int
	}{"v5": {v5, 30}, "v9": {v9, 40}} {
		b.Run(name, func(b *testing.B) {
			collector := collect.New(collect.Options{})
			told := 0
			tell := func(*collect.Record) { told++ }
			_ = collector.Datagram(netip.AddrPortFrom(router, 2055), bytesOf(b, template9), 1, tell)
			b.ReportAllocs()
			for b.Loop() {
				_ = collector.Datagram(netip.AddrPortFrom(router, 2055), c.datagram, 1, tell)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(told), "ns/record")
		})
	}
}

// TestAllocations holds that records cost none.
func TestAllocations(t *testing.T) {
	c := collect.New(collect.Options{})
	read(t, c, template9)
	data, told := bytesOf(t, data9), 0
	tell := func(*collect.Record) { told++ }
	if n := testing.AllocsPerRun(100, func() { _ = c.Datagram(netip.AddrPortFrom(router, 2055), data, 1, tell) }); n > 0 || told == 0 {
		t.Errorf("%v allocations a datagram, %d records", n, told)
	}
}

func FuzzNetFlow(f *testing.F) {
	for _, s := range []string{flow5, template9, data9, sampler9} {
		f.Add(bytesOf(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) { feed(t, b, template9, sampler9) })
}

func FuzzIPFIX(f *testing.F) {
	f.Add(bytesOf(f, biflow10))
	f.Add(manyTemplates(0, 1)[:200])
	f.Fuzz(func(t *testing.T, b []byte) { feed(t, b, biflow10) })
}

func FuzzSFlow(f *testing.F) {
	f.Add(sflowDatagram(512, frame(false, 10, 200, 6, tcp(40_000, 443, 1, packet.ACK, 10))))
	f.Add(sflowDatagram(1, frame(true, 10, 200, 17, udp(50_000, 53, 10))))
	f.Fuzz(func(t *testing.T, b []byte) { feed(t, b) })
}

// feed reads a datagram behind others, joins its records and makes events of them:
// nothing may end the program, and there are no more records than bytes.
func feed(t *testing.T, b []byte, first ...string) {
	t.Helper()
	c, j := collect.New(collect.Options{}), collect.NewJoiner(collect.JoinOptions{Max: 16})
	read(t, c, first...)
	told, events := 0, 0
	out := func(r *collect.Record) {
		events++
		if ev := (collect.EventOptions{}).Event(r); ev.GetNetwork() == nil || !ev.GetTime().IsValid() || !ev.GetNetwork().GetStartTime().IsValid() {
			t.Fatalf("an event without a body or time: %v", ev)
		}
		if r.End < r.Start {
			t.Fatalf("ends at %d before it starts at %d", r.End, r.Start)
		}
	}
	for range 2 {
		_ = c.Datagram(netip.AddrPortFrom(router, 2055), b, 1_700_000_000_000_000_000, func(r *collect.Record) { told++; j.Add(r, out) })
	}
	j.Close(out)
	if told > 2*len(b) {
		t.Fatalf("%d records of %d bytes", told, len(b))
	}
	if told > 0 && events == 0 {
		t.Fatal("records were lost")
	}
}
