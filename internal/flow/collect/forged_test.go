package collect_test

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/flow/collect"
	"github.com/amoskys/amoskys/internal/flow/packet"
)

// TestForged: who can forge the address of an exporter, and of many others, takes nothing
// from it that it uses: neither its templates, nor the rate that it announced, nor its
// place.
func TestForged(t *testing.T) {
	const second = int64(1e9)
	c := collect.New(collect.Options{})
	device := netip.AddrPortFrom(router, 2055)
	now := second
	regular := func() (told int, last string) {
		for _, text := range []string{sampler9, template9, data9} {
			if err := c.Datagram(device, bytesOf(t, text), now, func(r *collect.Record) { told++; last = line(r) }); err != nil {
				t.Fatal(err)
			}
		}
		return told, last
	}
	want, wantLast := regular()
	for range 4 {
		now += 30 * second
		regular()
	}
	header := func(domain uint32) []byte {
		b := bytesOf(t, template9)[:20]
		binary.BigEndian.PutUint32(b[16:], domain)
		return b
	}
	forge := func(from netip.AddrPort, b []byte) { _ = c.Datagram(from, b, now, func(*collect.Record) {}) }
	other := netip.AddrPortFrom(router, 4444)
	for i := range 400 {
		forge(netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), uint16(i)), bytesOf(t, template9))
		forge(netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), 2055), bytesOf(t, flow5))
		forge(device, header(uint32(1000+i))) // domains
		forge(other, header(uint32(1000+i)))
		forge(netip.AddrPortFrom(router, uint16(10_000+i)), bytesOf(t, template9)) // sessions
		if i < 4 {
			forge(device, manyTemplates(i*3000, uint32(i))) // as many as there may be
			forge(other, manyTemplates(i*3000, uint32(i)))
		}
	}
	// The template with the same number says something else, and so do options.
	changed := bytesOf(t, template9)
	copy(changed[28:32], []byte{0, 1, 0, 1})
	forge(other, changed)
	forge(other, bytesOf(t, strings.Replace(sampler9, "01 0000000a", "01 0000ffff", 1)))

	var told int
	var last string
	_ = c.Datagram(device, bytesOf(t, data9), now, func(r *collect.Record) { told++; last = line(r) })
	if told != want || last != wantLast {
		t.Errorf("of %d records %d are read, %q, want %q: %+v", want, told, last, wantLast, c.Stats())
	}
}

// TestForgedNetworks: addresses that are forged and kept alive, however many, take neither
// the place of an exporter that was there before nor that of one of another network.
func TestForgedNetworks(t *testing.T) {
	c := collect.New(collect.Options{})
	now := int64(1e9)
	tell := func(*collect.Record) {}
	early, late := netip.MustParseAddrPort("192.0.2.250:2055"), netip.MustParseAddrPort("203.0.113.1:2055")
	sends := func(from netip.AddrPort) {
		for _, text := range []string{template9, data9} {
			if err := c.Datagram(from, bytesOf(t, text), now, tell); err != nil {
				t.Fatal(err)
			}
		}
	}
	told := func(from netip.AddrPort) (n int) {
		_ = c.Datagram(from, bytesOf(t, data9), now, func(*collect.Record) { n++ })
		return n
	}
	sends(early)
	for minute := range 8 {
		now += 61e9
		sends(early)
		if minute > 3 {
			sends(late)
		}
		for i := range 800 { // of four networks, the first one's too
			forged := netip.AddrFrom4([4]byte{192, 0, 2 + byte(i%4), byte(i / 4)})
			_ = c.Datagram(netip.AddrPortFrom(forged, 2055), bytesOf(t, flow5), now, tell)
		}
	}
	if told(early) == 0 || told(late) == 0 {
		t.Errorf("forged addresses took the place: of the first %d, of the last %d: %+v", told(early), told(late), c.Stats())
	}
}

// TestShares: an exporter that sends more than there is room for takes none of another's.
func TestShares(t *testing.T) {
	j := collect.NewJoiner(collect.JoinOptions{Max: 100})
	quiet := netip.MustParseAddr("192.0.2.7")
	early := map[netip.Addr]int{}
	tell := func(r *collect.Record) { early[r.Exporter]++ }
	for i := range 20 {
		r := half(1, 2, uint16(50_000+i), 53, 17, 0, 4)
		r.Exporter = quiet
		j.Add(r, tell)
	}
	for i := range 1000 {
		j.Add(half(1, 2, uint16(10_000+i), 53, 17, 0, 4), tell)
	}
	for i := range 20 {
		r := half(1, 2, uint16(51_000+i), 53, 17, 0, 4)
		r.Exporter = quiet
		j.Add(r, tell)
	}
	if early[quiet] != 0 || early[router] != 940 {
		t.Errorf("told early: %v", early)
	}
	for i := range 20 {
		r := half(2, 1, 53, uint16(50_000+i), 17, 0, 4)
		r.Exporter = quiet
		j.Add(r, tell)
	}
	if s := j.Stats(); s.Joined != 20 {
		t.Errorf("%+v", s)
	}
}

// TestContinued: a long flow that comes in pieces is told so, with the same side first.
func TestContinued(t *testing.T) {
	long := func(second, length int64, reason, flags uint8) *collect.Record {
		r := half(1, 2, 443, 8443, 6, flags, second*1000)
		r.End, r.Received, r.EndReason = r.Start+length*1e9, r.Start+length*1e9, reason
		return r
	}
	const syn, ack, fin = packet.SYN, packet.ACK, packet.FIN
	for name, c := range map[string]struct {
		records []*collect.Record
		want    []bool
	}{
		"active timeout":             {[]*collect.Record{long(0, 60, 2, syn|ack), long(61, 60, 2, ack), long(122, 5, 3, ack|fin)}, []bool{false, true, true}},
		"who began is known once":    {[]*collect.Record{long(0, 60, 0, syn), long(61, 60, 0, ack)}, []bool{false, true}},
		"no reason":                  {[]*collect.Record{long(0, 60, 0, syn|ack), long(61, 60, 0, ack), long(122, 5, 0, ack|fin)}, []bool{false, true, true}},
		"closed, and the port again": {[]*collect.Record{long(0, 60, 0, syn|ack|fin), long(61, 60, 0, ack)}, []bool{false, false}},
		"another connection":         {[]*collect.Record{long(0, 60, 0, syn|ack), long(61, 60, 0, syn|ack)}, []bool{false, false}},
		"idle":                       {[]*collect.Record{long(0, 60, 1, ack), long(75, 60, 1, ack)}, []bool{false, false}},
		"long after":                 {[]*collect.Record{long(0, 60, 0, ack), long(600, 60, 0, ack)}, []bool{false, false}},
		"short":                      {[]*collect.Record{long(0, 1, 0, ack), long(3, 1, 0, ack)}, []bool{false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			j := collect.NewJoiner(collect.JoinOptions{})
			var got []bool
			first := uint16(0)
			tell := func(r *collect.Record) {
				got = append(got, r.Continued)
				f := r.Flow()
				if ev := (collect.EventOptions{}).Event(r); ev.GetNetwork().GetMidstream() != r.Continued || r.Continued && !f.Midstream {
					t.Errorf("the event or the flow says otherwise: %v", ev)
				}
				if first == 0 {
					first = r.SrcPort
				}
				if r.Continued && r.SrcPort != first {
					t.Errorf("turned: %s", line(r))
				}
			}
			for _, r := range c.records {
				j.Add(r, tell)
			}
			j.Close(tell)
			if len(got) != len(c.want) {
				t.Fatalf("told %v", got)
			}
			for i := range got {
				if got[i] != c.want[i] {
					t.Errorf("told %v, want %v", got, c.want)
				}
			}
		})
	}
}

// TestTemplateWithoutRoom: what is sent by a template that was refused is not read by the one
// that was there before, whether it is wrong or too large for the room that is left.
func TestTemplateWithoutRoom(t *testing.T) {
	device := netip.AddrPortFrom(router, 2055)
	for name, changed := range map[string]func(b []byte){
		"too large": func(b []byte) { binary.BigEndian.PutUint16(b[26:], 9) },
		"wrong":     func(b []byte) { copy(b[30:], []byte{0, 0}) }, // a field without a length
	} {
		t.Run(name, func(t *testing.T) {
			c := collect.New(collect.Options{MaxFields: 12})
			now, told := int64(1e9), 0
			send := func(b []byte) { _ = c.Datagram(device, b, now, func(*collect.Record) { told++ }) }
			small := func(id byte) []byte { // of three fields
				b := bytesOf(t, template9)[:40]
				b[23], b[25], b[27] = 20, id, 3
				return b
			}
			for range 2 {
				for id := range byte(3) {
					send(small(id))
				}
				now += 90e9
			}
			send(bytesOf(t, data9))
			if told == 0 {
				t.Fatalf("nothing is read at first: %+v", c.Stats())
			}
			told = 0
			b := bytesOf(t, template9)
			changed(b)
			send(b)
			send(bytesOf(t, data9))
			if told != 0 || c.Stats().TemplatesRefused != 1 {
				t.Errorf("%d records are read: %+v", told, c.Stats())
			}
		})
	}
}
