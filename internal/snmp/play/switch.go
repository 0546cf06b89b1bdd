package play

import (
	"fmt"
	"slices"

	"github.com/amoskys/amoskys/internal/snmp/ber"
)

// Switch is a recording of a made-up switch: the system group (RFC 3418), all columns
// of ifTable and ifXTable (RFC 2863) for its ports, and one processor and memory
// (HOST-RESOURCES-MIB, RFC 2790). Counters grow with count, which stands for time.
func Switch(name string, ports int, count uint64) *Record {
	b := &builder{}
	b.text("1.3.6.1.2.1.1.1.0", "AMOSKYS test switch, "+name)
	b.oid("1.3.6.1.2.1.1.2.0", 1, 3, 6, 1, 4, 1, 8072, 3, 2, 10)
	b.number("1.3.6.1.2.1.1.3.0", ber.TimeTicks, 100*count)
	b.text("1.3.6.1.2.1.1.4.0", "nobody")
	b.text("1.3.6.1.2.1.1.5.0", name)
	b.text("1.3.6.1.2.1.1.6.0", "a rack")
	b.number("1.3.6.1.2.1.2.1.0", ber.Integer, uint64(ports))
	for port := 1; port <= ports; port++ {
		b.port(port, count)
	}
	b.number("1.3.6.1.2.1.25.2.3.1.1.1", ber.Integer, 1)
	b.oid("1.3.6.1.2.1.25.2.3.1.2.1", 1, 3, 6, 1, 2, 1, 25, 2, 1, 2) // hrStorageRam
	b.text("1.3.6.1.2.1.25.2.3.1.3.1", "Physical memory")
	b.number("1.3.6.1.2.1.25.2.3.1.4.1", ber.Integer, 1024)
	b.number("1.3.6.1.2.1.25.2.3.1.5.1", ber.Integer, 524288)
	b.number("1.3.6.1.2.1.25.2.3.1.6.1", ber.Integer, 131072)
	b.number("1.3.6.1.2.1.25.3.3.1.2.1", ber.Integer, 7)
	r := &Record{entries: b.entries}
	r.order()
	return r
}

// Twin is the recording of another switch like r, a result of Switch: it has a name and,
// by its number, MAC addresses of its own. What else they say they share.
func (r *Record) Twin(name string, number uint16) *Record {
	b := &builder{}
	twin := &Record{entries: slices.Clone(r.entries)}
	for i := range twin.entries {
		switch arcs := twin.entries[i].arcs; {
		case slices.Equal(arcs, []uint32{1, 3, 6, 1, 2, 1, 1, 5, 0}):
			b.text("1.3.6.1.2.1.1.5.0", name)
		case len(arcs) == 11 && slices.Equal(arcs[:10], []uint32{1, 3, 6, 1, 2, 1, 2, 2, 1, 6}):
			mac := []byte{2, 0, byte(number >> 8), byte(number), byte(arcs[10] >> 8), byte(arcs[10])}
			b.add(fmt.Sprintf("1.3.6.1.2.1.2.2.1.6.%d", arcs[10]), ber.AppendValue(nil, ber.OctetString, mac))
		default:
			continue
		}
		twin.entries[i] = b.entries[len(b.entries)-1]
	}
	return twin
}

// builder gathers entries.
type builder struct {
	entries []entry
}

func (b *builder) add(oid string, value []byte) {
	e, err := named(oid, value)
	if err != nil {
		panic(err) // all names are written here
	}
	b.entries = append(b.entries, e)
}

func (b *builder) text(oid, text string) {
	b.add(oid, ber.AppendValue(nil, ber.OctetString, []byte(text)))
}

func (b *builder) oid(oid string, arcs ...uint32) { b.add(oid, ber.AppendOID(nil, arcs)) }

func (b *builder) number(oid string, tag byte, n uint64) {
	b.add(oid, ber.AppendUnsigned(nil, tag, n))
}

// port adds a row to ifTable and ifXTable.
func (b *builder) port(port int, count uint64) {
	row := func(column int) string { return fmt.Sprintf("1.3.6.1.2.1.2.2.1.%d.%d", column, port) }
	more := func(column int) string { return fmt.Sprintf("1.3.6.1.2.1.31.1.1.1.%d.%d", column, port) }
	counter := func(weight uint64) uint64 { return count * weight * uint64(port) }
	b.number(row(1), ber.Integer, uint64(port))
	b.text(row(2), fmt.Sprintf("GigabitEthernet0/%d", port))
	b.number(row(3), ber.Integer, 6) // ethernetCsmacd
	b.number(row(4), ber.Integer, 1500)
	b.number(row(5), ber.Gauge32, 1_000_000_000)
	b.add(row(6), ber.AppendValue(nil, ber.OctetString, []byte{2, 0, 0x5e, 0, byte(port >> 8), byte(port)}))
	b.number(row(7), ber.Integer, 1)
	b.number(row(8), ber.Integer, uint64(1+port%2))
	b.number(row(9), ber.TimeTicks, 0)
	for i, column := range []int{10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21} {
		tag, weight := byte(ber.Counter32), uint64(100_000>>i)
		if column == 21 { // ifOutQLen
			tag, weight = ber.Gauge32, 0
		}
		b.number(row(column), tag, counter(weight)&0xffffffff)
	}
	b.oid(row(22), 0, 0)
	b.text(more(1), fmt.Sprintf("Gi0/%d", port))
	for _, column := range []int{2, 3, 4, 5} {
		b.number(more(column), ber.Counter32, counter(uint64(column))&0xffffffff)
	}
	for _, column := range []int{6, 7, 8, 9, 10, 11, 12, 13} {
		b.number(more(column), ber.Counter64, counter(uint64(1_000_000>>column)))
	}
	b.number(more(14), ber.Integer, 1)
	b.number(more(15), ber.Gauge32, 1000)
	b.number(more(16), ber.Integer, 2)
	b.number(more(17), ber.Integer, 1)
	b.text(more(18), fmt.Sprintf("room %d", port))
	b.number(more(19), ber.TimeTicks, 0)
}

// Ports returns the columns of ifTable and ifXTable that a poll of interfaces reads.
func Ports() []string {
	roots := make([]string, 0, 22)
	for _, column := range []int{2, 3, 5, 6, 7, 8, 13, 14, 19, 20} {
		roots = append(roots, fmt.Sprintf("1.3.6.1.2.1.2.2.1.%d", column))
	}
	for _, column := range []int{1, 6, 7, 8, 9, 10, 11, 12, 13, 15, 18, 19} {
		roots = append(roots, fmt.Sprintf("1.3.6.1.2.1.31.1.1.1.%d", column))
	}
	return slices.Clip(roots)
}
