package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// parseIPv4 reads one to four decimal numbers with dots; bits is how many bits
// they make. The address is shifted to the upper end of 32 bits.
func parseIPv4(s string) (addr uint32, bits int, err error) {
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			return 0, 0, fmt.Errorf("%s is no IPv4 address: %s is no number from 0 to 255", s, part)
		}
		addr = addr<<8 | uint32(n)
		bits += 8
	}
	if bits == 0 || bits > 32 {
		return 0, 0, fmt.Errorf("%s is no IPv4 address", s)
	}
	return addr << (32 - bits), bits, nil
}

// misplaced is the fault that a protocol stands before an address to which it
// does not belong.
func misplaced(what string) error {
	return fmt.Errorf("the protocol before it has no addresses such as %s", what)
}

// addressIPv4 is the condition on an address as it stands in the filter, with
// the mask that comes of how many numbers it has.
func (g *generator) addressIPv4(text string, addr, mask uint32, q qualifiers) (*cond, error) {
	switch q.kind {
	case kindAny, kindHost, kindNet:
	case kindGateway:
		return nil, errGateway
	default:
		return nil, fmt.Errorf("%s is an address, and a port or protocol has to stand here", text)
	}
	switch q.proto {
	case protoDECnet:
		// Area and node of a DECnet address (DNA Phase IV).
		area, node, ok := strings.Cut(text, ".")
		a, errArea := strconv.ParseUint(area, 10, 8)
		n, errNode := strconv.ParseUint(strings.SplitN(node, ".", 2)[0], 10, 16)
		if !ok || errArea != nil || errNode != nil || a > 63 || n > 1023 {
			return nil, fmt.Errorf("%s is no DECnet address: AREA.NODE with an area up to 63 and a node up to 1023", text)
		}
		return g.decnetHost(uint32(a<<10|n), q.dir)
	case protoLink:
		return nil, errors.New("an Ethernet address such as 02:00:00:00:00:01 has to stand here")
	default:
	}
	return g.hostIPv4(addr, mask, q)
}

// netIPv4 is the condition on a network with a mask.
func (g *generator) netIPv4(addr, mask uint32, q qualifiers) (*cond, error) {
	if addr&^mask != 0 {
		return nil, errors.New("the address has bits outside of the mask; set them to zero")
	}
	if q.kind != kindNet {
		return nil, errors.New("a mask belongs to net, not to a host")
	}
	return g.hostIPv4(addr, mask, q)
}

func (g *generator) hostIPv4(addr, mask uint32, q qualifiers) (*cond, error) {
	switch q.proto {
	case protoAny:
		c, err := g.either(q.dir, etherIP, 12, 16, addr, mask)
		if err != nil || g.labels > 0 {
			return c, err
		}
		for _, ether := range []uint32{etherARP, etherRARP} {
			more, err := g.either(q.dir, ether, 14, 24, addr, mask)
			if err != nil {
				return nil, err
			}
			c = or(c, more)
		}
		return c, nil
	case protoIP:
		return g.either(q.dir, etherIP, 12, 16, addr, mask)
	case protoARP:
		return g.either(q.dir, etherARP, 14, 24, addr, mask)
	case protoRARP:
		return g.either(q.dir, etherRARP, 14, 24, addr, mask)
	case protoDECnet:
		return g.decnetHost(addr, q.dir)
	default:
		return nil, misplaced("IPv4 addresses")
	}
}

// either joins conditions on the source at src and the destination at dst, as
// the direction says, for packets of the EtherType.
func (g *generator) either(dir direction, ether, src, dst, addr, mask uint32) (*cond, error) {
	return g.directed(dir, func(source bool) (*cond, error) {
		off := dst
		if source {
			off = src
		}
		typ, err := g.linktype(ether)
		return and(typ, g.equalMasked(fromNetwork, off, sizeW, addr, mask)), err
	})
}

// directed makes the condition of the source, the destination, or both.
func (g *generator) directed(dir direction, of func(source bool) (*cond, error)) (*cond, error) {
	switch dir {
	case dirSrc:
		return of(true)
	case dirDst:
		return of(false)
	default:
	}
	src, err := of(true)
	if err != nil {
		return nil, err
	}
	dst, err := of(false)
	if err != nil {
		return nil, err
	}
	if dir == dirAnd {
		return and(src, dst), nil
	}
	return or(src, dst), nil
}

// addressIPv6 is the condition on an address of which the first length bits
// count.
func (g *generator) addressIPv6(addr [16]byte, length uint32, q qualifiers) (*cond, error) {
	var mask [16]byte
	for i := range length {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	for i := range addr {
		if addr[i]&^mask[i] != 0 {
			return nil, errors.New("the address has bits outside of the mask; set them to zero")
		}
	}
	switch q.kind {
	case kindAny, kindHost:
		if length != 128 {
			return nil, errors.New("a mask belongs to net, not to a host")
		}
	case kindNet:
	default:
		return nil, errors.New("an IPv6 address stands where a port or protocol has to stand")
	}
	if q.proto != protoAny && q.proto != protoIPv6 {
		return nil, misplaced("IPv6 addresses")
	}
	return g.directed(q.dir, func(source bool) (*cond, error) {
		off := uint32(24)
		if source {
			off = 8
		}
		c, err := g.linktype(etherIPv6)
		for i := uint32(0); i < 16; i += 4 {
			c = and(c, g.equalMasked(fromNetwork, off+i, sizeW, binary.BigEndian.Uint32(addr[i:]), binary.BigEndian.Uint32(mask[i:])))
		}
		return c, err
	})
}

// mac is the condition on an Ethernet address.
func (g *generator) mac(addr [6]byte, q qualifiers) (*cond, error) {
	if q.proto != protoLink || q.kind != kindAny && q.kind != kindHost {
		return nil, errors.New("ether host, ether src or ether dst has to stand before an Ethernet address")
	}
	if g.link != packet.LinkEthernet {
		return nil, errEthernetOnly
	}
	c, err := g.directed(q.dir, func(source bool) (*cond, error) {
		off := uint32(0)
		if source {
			off = 6
		}
		return g.equalBytes(fromLinkHeader, off, addr[:]), nil
	})
	return and(g.hasEthernet(), c), err
}

// hasEthernet is nil outside of tunnels. Behind geneve it is the condition
// that an Ethernet header is there at all.
func (g *generator) hasEthernet() *cond {
	if !g.tunnelled {
		return nil
	}
	return not(newTest(jmpJEQ|srcX, 0,
		instr{op: clsLD | modeMEM, k: g.linkHeader.reg},
		instr{op: clsLDX | modeMEM, k: g.payload.reg}))
}

// broadcast is the condition that all hosts are addressed, by Ethernet or by
// IPv4. The mask of the network is not known: 0.0.0.0 and 255.255.255.255
// count.
func (g *generator) broadcast(p proto) (*cond, error) {
	switch p {
	case protoAny, protoLink:
		if g.link != packet.LinkEthernet {
			return nil, errEthernetOnly
		}
		return and(g.hasEthernet(), g.equalBytes(fromLinkHeader, 0, []byte{255, 255, 255, 255, 255, 255})), nil
	case protoIP:
		c, err := g.linktype(etherIP)
		zero := g.equal(fromNetwork, 16, sizeW, 0)
		ones := g.equal(fromNetwork, 16, sizeW, ^uint32(0))
		return and(c, or(zero, ones)), err
	default:
		return nil, errors.New("broadcast is known of ether and ip alone")
	}
}

// multicast is the condition that a group is addressed, by Ethernet, IPv4 or
// IPv6.
func (g *generator) multicast(p proto) (*cond, error) {
	switch p {
	case protoAny, protoLink:
		if g.link != packet.LinkEthernet {
			return nil, errEthernetOnly
		}
		return and(g.hasEthernet(), newTest(jmpJSET, 1, g.loadFrom(fromLinkHeader, 0, sizeB)...)), nil
	case protoIP:
		c, err := g.linktype(etherIP)
		return and(c, g.test(jmpJGE, fromNetwork, 16, sizeB, 224)), err
	case protoIPv6:
		c, err := g.linktype(etherIPv6)
		return and(c, g.equal(fromNetwork, 24, sizeB, 255)), err
	default:
		return nil, errors.New("multicast is known of ether, ip and ip6 alone")
	}
}

// decnetHost is the condition on an address of DECnet: short and long headers,
// each with a byte of padding before it or not.
func (g *generator) decnetHost(addr uint32, dir direction) (*cond, error) {
	swapped := addr&0xff<<8 | addr>>8&0xff
	if addr > 0xffff {
		swapped = addr
	}
	return g.directed(dir, func(source bool) (*cond, error) {
		short, long := uint32(1), uint32(7)
		if source {
			short, long = 3, 15
		}
		typ, err := g.linktype(etherDECnet)
		form := func(flags, mask uint32, size uint16, off uint32) *cond {
			return and(g.equalMasked(fromNetwork, 2, size, flags, mask), g.equal(fromNetwork, 2+off, sizeH, swapped))
		}
		c := or(form(0x02, 0x07, sizeB, short), form(0x8102, 0xff07, sizeH, short+1))
		c = or(c, form(0x06, 0x07, sizeB, long))
		return and(typ, or(c, form(0x8106, 0xff07, sizeH, long+1))), err
	})
}
