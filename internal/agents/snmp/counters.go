package snmp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unique"

	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/identify"
	"github.com/amoskys/amoskys/internal/snmp/place"
)

// Columns of ifTable and ifXTable (RFC 2863).
const (
	ifTable  = "1.3.6.1.2.1.2.2.1."
	ifXTable = "1.3.6.1.2.1.31.1.1.1."
)

// port is what is kept of an interface between polls. One is kept of every interface of
// every device, so it is small.
type port struct {
	index       uint32
	kind        uint16 // IANAifType
	admin, oper uint8  // RFC 2863: 1 is up, 2 down, 3 testing, 7 lowerLayerDown …
	mac         place.MAC
	name, alias word   // which many devices share
	speed       uint64 // bits per second
	sample      sample
	// Counters as they are, for events and metrics.
	packetsIn, packetsOut   uint64
	discardsIn, discardsOut uint32
	rates                   rates
}

// word is a text that is kept once, however many ports have it.
type word = unique.Handle[string]

func wordOf(s string) word { return unique.Make(s) }

// column reads one column into the ports of a device.
type column struct {
	oid string
	set func(p *port, v snmp.Variable)
}

func number(set func(p *port, n uint64)) func(*port, snmp.Variable) {
	return func(p *port, v snmp.Variable) {
		if n, ok := v.Uint(); ok {
			set(p, n)
		}
	}
}

// counterColumns are read at each poll. Of the columns of 32 bits those are read of which
// no interface has 64.
func counterColumns() []column {
	return []column{
		{ifTable + "8", number(func(p *port, n uint64) { p.oper = uint8(min(n, 255)) })},
		{ifTable + "7", number(func(p *port, n uint64) { p.admin = uint8(min(n, 255)) })},
		{ifXTable + "6", number(func(p *port, n uint64) { p.sample.in, p.sample.wide, p.sample.got = n, true, p.sample.got|gotIn })},
		{ifXTable + "10", number(func(p *port, n uint64) { p.sample.out, p.sample.got = n, p.sample.got|gotOut })},
		{ifXTable + "7", number(func(p *port, n uint64) { p.packetsIn = n })},
		{ifXTable + "11", number(func(p *port, n uint64) { p.packetsOut = n })},
		{ifTable + "14", number(func(p *port, n uint64) { p.sample.errorsIn, p.sample.got = uint32(n), p.sample.got|gotErrorsIn })},
		{ifTable + "20", number(func(p *port, n uint64) { p.sample.errorsOut, p.sample.got = uint32(n), p.sample.got|gotErrorsOut })},
		{ifTable + "13", number(func(p *port, n uint64) { p.discardsIn = uint32(n) })},
		{ifTable + "19", number(func(p *port, n uint64) { p.discardsOut = uint32(n) })},
		{ifXTable + "19", number(func(p *port, n uint64) { p.sample.discontinuity = uint32(n) })},
	}
}

// narrowColumns are those of 32 bits, which interfaces without ones of 64 need.
func narrowColumns() []column {
	narrow := func(set func(p *port, n uint64)) func(*port, snmp.Variable) {
		return number(func(p *port, n uint64) {
			if !p.sample.wide {
				set(p, n)
			}
		})
	}
	return []column{
		{ifTable + "10", narrow(func(p *port, n uint64) { p.sample.in, p.sample.got = n, p.sample.got|gotIn })},
		{ifTable + "16", narrow(func(p *port, n uint64) { p.sample.out, p.sample.got = n, p.sample.got|gotOut })},
		{ifTable + "11", narrow(func(p *port, n uint64) { p.packetsIn = n })},
		{ifTable + "17", narrow(func(p *port, n uint64) { p.packetsOut = n })},
	}
}

// nameColumns change seldom and are read with the inventory. Speed is the better of two:
// ifSpeed ends at 4.29 Gbit/s, ifHighSpeed counts millions.
func nameColumns() []column {
	return []column{
		{ifTable + "2", func(p *port, v snmp.Variable) {
			if p.name.Value() == "" {
				p.name = wordOf(text(v, 64))
			}
		}},
		{ifXTable + "1", func(p *port, v snmp.Variable) {
			if s := text(v, 64); s != "" {
				p.name = wordOf(s)
			}
		}},
		{ifXTable + "18", func(p *port, v snmp.Variable) { p.alias = wordOf(text(v, 128)) }},
		{ifTable + "3", number(func(p *port, n uint64) { p.kind = uint16(min(n, 1<<16-1)) })},
		{ifTable + "5", number(func(p *port, n uint64) {
			if n < 1<<32-1 {
				p.speed = max(p.speed, n)
			}
		})},
		{ifXTable + "15", number(func(p *port, n uint64) {
			if n > 0 && n < 1<<32 {
				p.speed = max(p.speed, n*1_000_000)
			}
		})},
		{ifTable + "6", func(p *port, v snmp.Variable) {
			if mac, ok := place.ParseMAC(v.Bytes()); ok {
				p.mac = mac
			}
		}},
	}
}

// text is a text of a device, at a bounded length, without what a terminal obeys.
func text(v snmp.Variable, most int) string {
	b := v.Bytes()
	if len(b) > 4*most { // of which some may be dropped
		v.Value = b[:4*most]
	}
	s := strings.TrimSpace(strings.Map(printable, strings.ToValidUTF8(v.Text(), "·")))
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// printable keeps what a terminal shows as it is.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f || r == utf8.RuneError {
		return ' '
	}
	return r
}

// walker reads columns into ports.
type walker struct {
	getter  snmp.Getter
	ports   []port
	at      map[uint32]int // in ports, by ifIndex
	most    int
	leftOut int
	faults  []string // columns that failed, for SnmpReading.incomplete
}

// columnar is a Getter that reads several columns at once, as a Client does.
type columnar interface {
	WalkColumns(ctx context.Context, roots []string, each func(snmp.Variable) error) error
}

// read walks columns. A column that fails costs itself alone, unless nothing at all is
// answered, or ctx has ended.
func (w *walker) read(ctx context.Context, columns []column) error {
	if g, ok := w.getter.(columnar); ok {
		return w.readTogether(ctx, g, columns)
	}
	silent := 0
	for _, c := range columns {
		rows := 0
		err := w.getter.Walk(ctx, c.oid, func(v snmp.Variable) error {
			rows++
			w.take(c, v)
			return nil
		})
		switch {
		case err == nil:
			silent = 0
			continue
		case ctx.Err() != nil:
			return fmt.Errorf("read interfaces: %w", ctx.Err())
		case rows > 0:
			silent = 0
		default:
			silent++
		}
		if silent == 2 {
			return fmt.Errorf("read interfaces: %w", err)
		}
		w.faults = append(w.faults, "interfaces: "+columnName(c.oid)+": "+cause(err))
	}
	return nil
}

// readTogether is read with several columns at once, which come in turn.
func (w *walker) readTogether(ctx context.Context, g columnar, columns []column) error {
	roots := make([]string, len(columns))
	for i := range columns {
		roots[i] = columns[i].oid
	}
	rows, next := 0, 0
	err := g.WalkColumns(ctx, roots, func(v snmp.Variable) error {
		rows++
		for range columns { // that of the variable is the next one, as a rule
			c := columns[next]
			next = (next + 1) % len(columns)
			if _, below := snmp.Index(c.oid, v.OID); below {
				w.take(c, v)
				break
			}
		}
		return nil
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("read interfaces: %w", ctx.Err())
	case rows == 0:
		return fmt.Errorf("read interfaces: %w", err)
	}
	faults := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		faults = joined.Unwrap()
	}
	for _, fault := range faults {
		what := ""
		if walk, ok := errors.AsType[*snmp.WalkError](fault); ok {
			what = columnName(walk.Root) + ": "
		}
		w.faults = append(w.faults, "interfaces: "+what+cause(fault))
	}
	return nil
}

// take puts a variable into its port.
func (w *walker) take(c column, v snmp.Variable) {
	index, ok := snmp.Index(c.oid, v.OID)
	if !ok {
		return
	}
	n, err := strconv.ParseUint(index, 10, 32) // up to 2^32-1
	if err != nil || v.Missing() {
		return
	}
	i, have := w.at[uint32(n)]
	if !have {
		if len(w.ports) >= w.most {
			w.leftOut++
			return
		}
		i = len(w.ports)
		w.at[uint32(n)] = i
		w.ports = append(w.ports, port{index: uint32(n), name: wordOf(""), alias: wordOf("")})
	}
	c.set(&w.ports[i], v)
}

// columnName names a column for people.
func columnName(oid string) string {
	return strings.NewReplacer(ifTable, "ifTable column ", ifXTable, "ifXTable column ").Replace(oid)
}

// cause is what went wrong, without how far it came.
func cause(err error) string {
	if walk, ok := errors.AsType[*snmp.WalkError](err); ok {
		err = walk.Err
	}
	return err.Error()
}

// readPorts reads the counters of a device's interfaces; names are those of before, unless
// whole. ports that are gone are so in what it returns.
func readPorts(ctx context.Context, g snmp.Getter, before []port, whole bool, most int) ([]port, *walker, error) {
	w := &walker{getter: g, at: make(map[uint32]int, len(before)), most: most, ports: make([]port, 0, len(before))}
	if err := w.read(ctx, counterColumns()); err != nil {
		return nil, w, err
	}
	if !allWide(w.ports) {
		if err := w.read(ctx, narrowColumns()); err != nil {
			return nil, w, err
		}
	}
	old := make(map[uint32]*port, len(before))
	for i := range before {
		old[before[i].index] = &before[i]
	}
	fresh := whole
	for i := range w.ports {
		if was := old[w.ports[i].index]; was != nil {
			w.ports[i].keepNames(was)
		} else {
			fresh = true // an interface that is new has a name
		}
	}
	if fresh {
		if err := w.readNames(ctx, old); err != nil {
			return nil, w, err
		}
	}
	return w.ports, w, nil
}

// readNames reads what changes seldom anew. A port whose name cannot be read keeps it.
func (w *walker) readNames(ctx context.Context, old map[uint32]*port) error {
	for i := range w.ports {
		w.ports[i].keepNames(&port{name: wordOf(""), alias: wordOf("")})
	}
	if err := w.read(ctx, nameColumns()); err != nil {
		return err
	}
	for i := range w.ports {
		if was := old[w.ports[i].index]; was != nil && w.ports[i].name.Value() == "" {
			w.ports[i].keepNames(was)
		}
	}
	return nil
}

// keepNames takes over what is not read at each poll.
func (p *port) keepNames(was *port) {
	p.name, p.alias, p.kind, p.mac, p.speed = was.name, was.alias, was.kind, was.mac, was.speed
}

func allWide(ports []port) bool {
	for i := range ports {
		if !ports[i].sample.wide {
			return false
		}
	}
	return len(ports) > 0
}

// label is the name of the interface, or its number.
func (p *port) label() string {
	if name := p.name.Value(); name != "" {
		return name
	}
	return "if" + number32(p.index)
}

func (p *port) macText() string {
	if p.mac == (place.MAC{}) {
		return ""
	}
	return p.mac.String()
}

// exists says whether a row is an interface of the device, as whole readings have it. Where no
// row has a name, named is false, and none is left out for that.
func (p *port) exists(named bool) bool {
	name := p.name.Value()
	if !named {
		name = "unnamed"
	}
	return identify.Exists(name, kindName(p.kind), statusName(p.oper))
}

// haveNames says whether any of a device's ports has a name.
func haveNames(ports []port) bool {
	return slices.ContainsFunc(ports, func(p port) bool { return p.name.Value() != "" })
}

// existing counts the ports that are interfaces.
func existing(ports []port) int {
	n, named := 0, haveNames(ports)
	for i := range ports {
		if ports[i].exists(named) {
			n++
		}
	}
	return n
}

// statusName is an ifOperStatus or ifAdminStatus as RFC 2863 names it.
func statusName(n uint8) string {
	names := [...]string{"", "up", "down", "testing", "unknown", "dormant", "notPresent", "lowerLayerDown"}
	if int(n) >= len(names) {
		return ""
	}
	return names[n]
}

// kindName names the types that are met most (IANAifType-MIB); others by number.
func kindName(n uint16) string {
	name := map[uint16]string{
		1: "other", 6: "ethernetCsmacd", 23: "ppp", 24: "softwareLoopback", 37: "atm", 39: "sonet", 53: "propVirtual", 71: "ieee80211",
		100: "voiceEM", 101: "voiceFXO", 102: "voiceFXS", 103: "voiceEncap", 117: "gigabitEthernet", 131: "tunnel", 135: "l2vlan", 136: "l3ipvlan", 142: "ipForward", 150: "mplsTunnel", 161: "ieee8023adLag",
		166: "mpls", 209: "bridge", 244: "wwanPP2",
	}[n]
	if name == "" && n != 0 {
		return "ifType " + strconv.Itoa(int(n))
	}
	return name
}
