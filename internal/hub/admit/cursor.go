package admit

// cursor reads forward over a message that came in pieces, as HTTP/2 frames do.
type cursor struct {
	pieces [][]byte
	at     position
	left   int // bytes from at to the end
}

// position is a place in the pieces; off may equal the length of its piece.
type position struct{ piece, off int }

func newCursor(pieces [][]byte) cursor {
	c := cursor{pieces: pieces}
	for _, p := range pieces {
		c.left += len(p)
	}
	return c
}

// rest returns what is left of the piece the cursor stands in, which is empty
// only at the end.
func (c *cursor) rest() []byte {
	for c.at.piece < len(c.pieces) {
		if b := c.pieces[c.at.piece][c.at.off:]; len(b) > 0 {
			return b
		}
		c.at.piece++
		c.at.off = 0
	}
	return nil
}

// skip moves forward by n bytes, of which the caller knows that they exist.
func (c *cursor) skip(n int) {
	c.left -= n
	for n > 0 {
		b := c.rest()
		step := min(n, len(b))
		c.at.off += step
		n -= step
	}
}

// uvarint reads a varint and reports how many bytes it took; 0 means that there
// is none.
func (c *cursor) uvarint() (value uint64, size int) {
	if b := c.rest(); len(b) > 0 && b[0] < 0x80 {
		c.at.off++
		c.left--
		return uint64(b[0]), 1
	}
	for shift := uint(0); shift < 64; shift += 7 {
		b := c.rest()
		if len(b) == 0 {
			return 0, 0
		}
		c.at.off++
		c.left--
		size++
		value |= uint64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			if shift == 63 && b[0] > 1 {
				return 0, 0
			}
			return value, size
		}
	}
	return 0, 0
}

// take reads n bytes, of which the caller knows that they exist. The result
// aliases the piece where it lies in one, and scratch otherwise.
func (c *cursor) take(n int, scratch *[]byte) []byte {
	b := c.rest()
	if len(b) >= n {
		c.at.off += n
		c.left -= n
		return b[:n]
	}
	joined := (*scratch)[:0]
	for n > 0 {
		b := c.rest()
		step := min(n, len(b))
		joined = append(joined, b[:step]...)
		c.at.off += step
		c.left -= step
		n -= step
	}
	*scratch = joined
	return joined
}

// between appends the bytes from one position to a later one, piece by piece.
func (c *cursor) between(out [][]byte, from, to position) [][]byte {
	for i := from.piece; i <= to.piece && i < len(c.pieces); i++ {
		lo, hi := 0, len(c.pieces[i])
		if i == from.piece {
			lo = from.off
		}
		if i == to.piece {
			hi = to.off
		}
		if lo < hi {
			out = append(out, c.pieces[i][lo:hi])
		}
	}
	return out
}
