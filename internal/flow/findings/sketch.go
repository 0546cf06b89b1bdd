package findings

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// sketch counts distinct things in 32 bytes by linear counting (Whang, Vander-Zanden
// and Taylor, 1990): each sets one of 256 bits, and how many bits are still clear
// tells how many there were. Up to 50 it is off by one or two, up to 1,000 by a tenth;
// beyond sketchFull it only says "more".
type sketch [4]uint64

const (
	sketchBits = 256
	sketchFull = 1400
)

// add notes a thing by its hash.
func (s *sketch) add(hash uint64) { s[hash>>6&3] |= 1 << (hash & 63) }

// count estimates how many distinct things were added.
func (s *sketch) count() int {
	set := 0
	for _, w := range s {
		set += bits.OnesCount64(w)
	}
	if set == sketchBits {
		return sketchFull
	}
	return int(math.Round(-sketchBits * math.Log(1-float64(set)/sketchBits)))
}

// mix spreads the bits of x over the result, the same in each run, so that the same
// packets give the same findings (the finalizer of splitmix64, Steele and others,
// 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func hashAddr(a packet.Addr) uint64 {
	return mix(binary.BigEndian.Uint64(a[:8]) ^ mix(binary.BigEndian.Uint64(a[8:])))
}

func hashPort(port uint16) uint64 { return mix(uint64(port)) }

func hashText(s string) uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}
