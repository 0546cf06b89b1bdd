package entity

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // what Community ID is defined by
	"encoding/base64"
	"encoding/binary"
)

// FlowID is what a Community ID (v1, https://github.com/corelight/community-id-spec)
// is made of.
type FlowID struct {
	// Seed is 0, unless a user sets networks apart by it.
	Seed     uint16
	Protocol uint8
	// Src and Dst are IPv6 or, mapped (RFC 4291), IPv4.
	Src, Dst [16]byte
	// HasPorts is false for protocols without ports, whose flows are told by their
	// addresses. ICMP has the types of its two directions as ports, or type and code
	// where nothing answers; then it is OneWay.
	HasPorts, OneWay bool
	SrcPort, DstPort uint16
}

// CommunityID returns the id, the same for both directions: "1:" and a SHA-1 in
// base64.
func (f FlowID) CommunityID() string {
	a, b := f.Src[:], f.Dst[:]
	if mapped := [12]byte{10: 0xff, 11: 0xff}; [12]byte(a[:12]) == mapped && [12]byte(b[:12]) == mapped {
		a, b = a[12:], b[12:]
	}
	p, q := f.SrcPort, f.DstPort
	if order := bytes.Compare(a, b); !f.OneWay && (order > 0 || order == 0 && p > q) {
		a, b, p, q = b, a, q, p
	}
	var room [40]byte
	data := binary.BigEndian.AppendUint16(room[:0], f.Seed)
	data = append(append(data, a...), b...)
	data = append(data, f.Protocol, 0)
	if f.HasPorts {
		data = binary.BigEndian.AppendUint16(data, p)
		data = binary.BigEndian.AppendUint16(data, q)
	}
	sum := sha1.Sum(data)          //nolint:gosec // as above
	text := [2 + 28]byte{'1', ':'} // 20 bytes are 28 in base64
	base64.StdEncoding.Encode(text[2:], sum[:])
	return string(text[:])
}
