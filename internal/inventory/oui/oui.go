// Package oui names the organisation to which the IEEE assigned the range that a MAC
// address is of (MA-L of 24 bits, MA-M of 28, MA-S of 36).
//
// The facts are those of the IEEE's public registries at the day that Date gives, made
// into vendors.bin by tools/ouitable. All numbers in it are big endian:
//
//	"AMOUI\0\0\1" | day, 10 letters | how many prefixes of 24, of 28 and of 36 bits, and
//	bytes of names, u32 each | prefixes of 24 bits (3 bytes and where the name is, 3
//	bytes), of 28 (4 and 3), of 36 (5 and 3), each sorted | names, each with a byte
//	before it that says how long it is
package oui

import (
	_ "embed"
	"net"
	"sort"
)

// Names are without legal forms such as "Inc."; the registry has them.
//
//go:generate sh -c "cd ../../../tools && go run ./ouitable -date $DATE -out ../internal/inventory/oui/vendors.bin $FILES"

//go:embed vendors.bin
var vendors string

const (
	magic = "AMOUI\x00\x00\x01"
	day   = 10
	head  = len(magic) + day + 4*4
)

// Date is the day of the registries, such as "2026-11-01".
func Date() string { return vendors[len(magic) : len(magic)+day] }

// Vendor names who makes interfaces with such an address; empty for one that is
// unassigned, assigned to somebody who keeps it private, locally administered or no MAC
// address of 48 bits. It allocates nothing.
func Vendor(mac net.HardwareAddr) string {
	if len(mac) != 6 || mac[0]&3 != 0 {
		return ""
	}
	var key [5]byte
	copy(key[:], mac)
	at := [3]int{head, 0, 0}
	at[1] = at[0] + count(0)*6
	at[2] = at[1] + count(1)*7
	names := at[2] + count(2)*8
	key[4] &= 0xf0
	if name, ok := search(at[2], count(2), 5, names, key); ok {
		return name
	}
	key[3] &= 0xf0
	if name, ok := search(at[1], count(1), 4, names, key); ok {
		return name
	}
	name, _ := search(at[0], count(0), 3, names, key)
	return name
}

// VendorOf is Vendor of an address as text.
func VendorOf(mac string) string {
	var b [6]byte
	if !parse(mac, &b) {
		return ""
	}
	return Vendor(b[:])
}

// parse reads six pairs of hexadecimal digits with a sign between them.
func parse(s string, mac *[6]byte) bool {
	if len(s) != 17 {
		return false
	}
	for i := range mac {
		high, low := digit(s[3*i]), digit(s[3*i+1])
		if high > 15 || low > 15 || i < 5 && s[3*i+2] != ':' && s[3*i+2] != '-' {
			return false
		}
		mac[i] = high<<4 | low
	}
	return true
}

func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case (c|0x20) >= 'a' && (c|0x20) <= 'f':
		return (c | 0x20) - 'a' + 10
	}
	return 255
}

// count is the n-th number of the head.
func count(n int) int {
	at := len(magic) + day + 4*n
	return int(vendors[at])<<24 | int(vendors[at+1])<<16 | int(vendors[at+2])<<8 | int(vendors[at+3])
}

// search looks a prefix of size bytes up in the table at a place.
func search(at, n, size, names int, key [5]byte) (string, bool) {
	row := size + 3
	i := sort.Search(n, func(i int) bool { return compare(at+i*row, size, &key) >= 0 })
	if i == n || compare(at+i*row, size, &key) != 0 {
		return "", false
	}
	p := at + i*row + size
	where := names + (int(vendors[p])<<16 | int(vendors[p+1])<<8 | int(vendors[p+2]))
	return vendors[where+1 : where+1+int(vendors[where])], true
}

// compare is that of the bytes at a place of the table with those of key.
func compare(at, size int, key *[5]byte) int {
	for i := range size {
		if d := int(vendors[at+i]) - int(key[i]); d != 0 {
			return d
		}
	}
	return 0
}
