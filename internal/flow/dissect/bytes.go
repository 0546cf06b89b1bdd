package dissect

import (
	"encoding/base64"
	"encoding/binary"
)

// u16 reads a big-endian number at i, 0 where b is too short.
func u16(b []byte, i int) uint16 {
	if i < 0 || i+2 > len(b) {
		return 0
	}
	return binary.BigEndian.Uint16(b[i:])
}

// u24 reads a big-endian number at i, 0 where b is too short.
func u24(b []byte, i int) int {
	if i < 0 || i+3 > len(b) {
		return 0
	}
	return int(b[i])<<16 | int(b[i+1])<<8 | int(b[i+2])
}

// u32 reads a big-endian number at i, 0 where b is too short.
func u32(b []byte, i int) uint32 {
	if i < 0 || i+4 > len(b) {
		return 0
	}
	return binary.BigEndian.Uint32(b[i:])
}

// le16 reads a little-endian number at i, 0 where b is too short.
func le16(b []byte, i int) uint16 {
	if i < 0 || i+2 > len(b) {
		return 0
	}
	return binary.LittleEndian.Uint16(b[i:])
}

// le32 reads a little-endian number at i, 0 where b is too short.
func le32(b []byte, i int) uint32 {
	if i < 0 || i+4 > len(b) {
		return 0
	}
	return binary.LittleEndian.Uint32(b[i:])
}

// cursor reads a message from its front. Reading beyond the end gives zeros and
// sets short, so that a parser checks once.
type cursor struct {
	b     []byte
	short bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.short, c.b = true, nil
		return nil
	}
	head := c.b[:n]
	c.b = c.b[n:]
	return head
}

// upTo takes n bytes, or what there is and then sets short.
func (c *cursor) upTo(n int) []byte {
	if n > len(c.b) {
		c.short = true
		n = len(c.b)
	}
	head := c.b[:n]
	c.b = c.b[n:]
	return head
}

func (c *cursor) u8() int {
	if b := c.take(1); b != nil {
		return int(b[0])
	}
	return 0
}

func (c *cursor) u16() int { return int(u16(c.take(2), 0)) }

// decode64 decodes base64 of a login; nil if it is none.
func decode64(b []byte) []byte {
	b = b[:min(len(b), 512)]
	out := make([]byte, base64.StdEncoding.DecodedLen(len(b)))
	n, err := base64.StdEncoding.Decode(out, b)
	if err != nil {
		return nil
	}
	return out[:n]
}
