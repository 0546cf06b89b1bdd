// Package geotest makes small databases in MaxMind's format, for tests.
package geotest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Entry is what a database says of a network.
type Entry struct {
	Network      string // such as "192.0.2.0/24"
	Country      string
	AS           uint32
	Organization string
}

// Database is the bytes of a database of IPv6, in which IPv4 lies at ::/96. Networks do
// not overlap. It panics for one that is none.
func Database(kind string, built time.Time, entries ...Entry) []byte {
	var data []byte
	t := tree{{}}
	for _, e := range entries {
		t.add(netip.MustParsePrefix(e.Network), leaf(len(data)))
		data = append(data, e.encode()...)
	}
	return slices.Concat(t.encode(), make([]byte, separator), data, metadata(kind, built, len(t)))
}

// separator is how many zeros lie between the tree and the data.
const separator = 16

// node has what lies behind a bit that is 0, and one that is 1: 0 is nothing, above 0
// another node, below 0 a leaf.
type node [2]int

type tree []node

// leaf points at a place of the data.
func leaf(offset int) int { return -1 - offset }

func (t *tree) add(p netip.Prefix, to int) {
	a, length := p.Addr().As16(), p.Bits()
	if p.Addr().Is4() {
		length += 96
		clear(a[:12]) // not mapped
	}
	at := 0
	for i := range length {
		bit := a[i/8] >> (7 - i%8) & 1
		if i == length-1 {
			(*t)[at][bit] = to
			return
		}
		if (*t)[at][bit] == 0 {
			*t = append(*t, node{})
			(*t)[at][bit] = len(*t) - 1
		}
		at = (*t)[at][bit]
	}
}

// encode writes records of 32 bits: a node's number, the count of nodes for nothing, or
// beyond it a place of the data.
func (t *tree) encode() []byte {
	var b []byte
	for _, n := range *t {
		for _, to := range n {
			switch {
			case to == 0:
				to = len(*t)
			case to < 0:
				to = len(*t) + separator - (to + 1)
			}
			b = binary.BigEndian.AppendUint32(b, uint32(to))
		}
	}
	return b
}

// The types of fields, in the upper three bits of a control byte; 0 is one that the next
// byte has, less 7.
const (
	typeString = 2 << 5
	typeUint16 = 5 << 5
	typeUint32 = 6 << 5
	typeMap    = 7 << 5
	extUint64  = 9 - 7
	extArray   = 11 - 7
)

func text(s string) []byte {
	if len(s) >= 29 {
		if len(s) >= 29+256 {
			panic(fmt.Sprintf("a text of %d bytes", len(s)))
		}
		return append([]byte{typeString | 29, byte(len(s) - 29)}, s...)
	}
	return append([]byte{typeString | byte(len(s))}, s...)
}

func short(n uint16) []byte { return binary.BigEndian.AppendUint16([]byte{typeUint16 | 2}, n) }
func word(n uint32) []byte  { return binary.BigEndian.AppendUint32([]byte{typeUint32 | 4}, n) }
func long(n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{8, extUint64}, n)
}

// dict has keys and values in turn.
func dict(parts ...[]byte) []byte {
	return append([]byte{typeMap | byte(len(parts)/2)}, slices.Concat(parts...)...)
}

func (e *Entry) encode() []byte {
	var parts [][]byte
	if e.Country != "" {
		parts = append(parts, text("country"), dict(text("iso_code"), text(e.Country)))
	}
	if e.AS != 0 {
		parts = append(parts, text("autonomous_system_number"), word(e.AS), text("autonomous_system_organization"), text(e.Organization))
	}
	return dict(parts...)
}

func metadata(kind string, built time.Time, nodes int) []byte {
	return append([]byte("\xab\xcd\xefMaxMind.com"), dict(
		text("binary_format_major_version"), short(2), text("binary_format_minor_version"), short(0),
		text("build_epoch"), long(uint64(built.Unix())), text("database_type"), text(kind),
		text("description"), dict(text("en"), text("made by a test")), text("ip_version"), short(6),
		text("languages"), append([]byte{1, extArray}, text("en")...), text("node_count"), word(uint32(nodes)), text("record_size"), short(32),
	)...)
}
