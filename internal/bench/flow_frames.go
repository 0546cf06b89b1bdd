package bench

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// framer makes the frames of conversations, in one buffer.
type framer struct {
	random *rand.Rand
	noise  []byte
	out    []byte
}

// begin makes a conversation between addresses of documentation and private ones.
func (f *framer) begin(at int64, kind traceKind, length, number int) *traced {
	r := f.random.Uint64()
	return &traced{
		at: at, kind: kind, last: length, number: number,
		client: [4]byte{10, byte(r >> 8), byte(r >> 16), byte(r >> 24)},
		server: [4]byte{198, 18 + byte(r>>32)&1, byte(r>>40) & 15, byte(r >> 48)},
		port:   1024 + uint16(r>>48)%64000,
		seq:    [2]uint32{uint32(r), uint32(r >> 32)},
	}
}

// frame is the next packet of a conversation. It is valid until the next call.
func (f *framer) frame(c *traced) []byte {
	switch c.kind {
	case traceDNS:
		return f.udp(c, 53, c.step&1 == 1, traceQuestion(c, c.step&1 == 1))
	case traceDatum:
		return f.udp(c, 20_000+c.port%10_000, c.step%3 == 2, f.some(60+int(c.seq[0]%400)))
	case tracePing:
		return f.ping(c)
	case traceScan:
		return f.tcp(c, 1+c.port%1024, false, packet.SYN, nil)
	case traceHTTP:
		return f.conversation(c, 80)
	case traceTLS:
	}
	return f.conversation(c, 443)
}

// conversation is a TCP connection: a handshake, a question, its answer in many
// segments with an acknowledgement for every second, and an end of both sides.
func (f *framer) conversation(c *traced, port uint16) []byte {
	var question, answer []byte
	if c.kind == traceHTTP {
		question = fmt.Appendf(nil, "GET /item/%d HTTP/1.1\r\nHost: www%d.example.net\r\nUser-Agent: trace/1\r\nAccept: */*\r\n\r\n", c.number, c.number%500)
		answer = []byte("HTTP/1.1 200 OK\r\nServer: trace\r\nContent-Type: text/html\r\nContent-Length: 90000\r\n\r\n")
	} else {
		question, answer = traceHello(c), traceServerHello(f.some(64))
	}
	const ack = packet.ACK
	switch at := c.step; {
	case at == 0:
		return f.tcp(c, port, false, packet.SYN, nil)
	case at == 1:
		return f.tcp(c, port, true, packet.SYN|ack, nil)
	case at == 2:
		return f.tcp(c, port, false, ack, nil)
	case at == 3:
		return f.tcp(c, port, false, ack|packet.PSH, question)
	case at == 4:
		return f.tcp(c, port, true, ack|packet.PSH, answer)
	case at == c.last-3:
		return f.tcp(c, port, false, ack|packet.FIN, nil)
	case at == c.last-2:
		return f.tcp(c, port, true, ack|packet.FIN, nil)
	case at == c.last-1:
		return f.tcp(c, port, false, ack, nil)
	case at%3 == 2:
		return f.tcp(c, port, false, ack, nil)
	}
	size := 100 + f.random.IntN(1300)
	if c.kind == traceHTTP {
		return f.tcp(c, port, true, ack, f.some(size))
	}
	record := append([]byte{23, 3, 3, byte((size - 5) >> 8), byte(size - 5)}, f.some(size-5)...)
	return f.tcp(c, port, true, ack, record)
}

// some is so much that looks like nothing, at most as much as there is noise.
func (f *framer) some(n int) []byte {
	n = min(n, len(f.noise)/2)
	from := f.random.IntN(len(f.noise) - n)
	return f.noise[from : from+n]
}

// ip writes Ethernet and IPv4 headers, and returns what follows, zeroed.
func (f *framer) ip(c *traced, answer bool, protocol byte, length int) []byte {
	const ethernet, header = 14, 20
	total := ethernet + header + length
	if cap(f.out) < total {
		f.out = make([]byte, 2*total)
	}
	b := f.out[:total]
	clear(b)
	src, dst := c.client, c.server
	near, far := byte(1), byte(2)
	if answer {
		src, dst, near, far = dst, src, far, near
	}
	b[0], b[5], b[6], b[11], b[12] = 2, far, 2, near, 8
	h := b[ethernet:]
	h[0], h[6], h[8], h[9] = 0x45, 0x40, 64, protocol
	binary.BigEndian.PutUint16(h[2:], uint16(header+length))
	copy(h[12:16], src[:])
	copy(h[16:20], dst[:])
	var sum uint32
	for i := 0; i < header; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(h[10:], ^uint16(sum&0xffff+sum>>16))
	f.out = b
	return h[header:]
}

func tracePorts(b []byte, c *traced, port uint16, answer bool) {
	from, to := c.port, port
	if answer {
		from, to = to, from
	}
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
}

func (f *framer) udp(c *traced, port uint16, answer bool, payload []byte) []byte {
	b := f.ip(c, answer, 17, 8+len(payload))
	tracePorts(b, c, port, answer)
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(payload)))
	copy(b[8:], payload)
	return f.out
}

func (f *framer) tcp(c *traced, port uint16, answer bool, flags uint8, payload []byte) []byte {
	b := f.ip(c, answer, 6, 20+len(payload))
	tracePorts(b, c, port, answer)
	side := 0
	if answer {
		side = 1
	}
	binary.BigEndian.PutUint32(b[4:], c.seq[side])
	if flags&packet.ACK != 0 {
		binary.BigEndian.PutUint32(b[8:], c.seq[1-side])
	}
	b[12], b[13] = 5<<4, flags
	binary.BigEndian.PutUint16(b[14:], 64_000)
	copy(b[20:], payload)
	c.seq[side] += uint32(len(payload))
	if flags&(packet.SYN|packet.FIN) != 0 {
		c.seq[side]++
	}
	return f.out
}

func (f *framer) ping(c *traced) []byte {
	answer := c.step&1 == 1
	b := f.ip(c, answer, 1, 64)
	if b[0] = 8; answer {
		b[0] = 0
	}
	binary.BigEndian.PutUint16(b[4:], c.port)
	binary.BigEndian.PutUint16(b[6:], uint16(c.step/2))
	return f.out
}

// traceQuestion is a question for an address (RFC 1035, section 4), or its answer.
func traceQuestion(c *traced, answer bool) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(c.number))
	if answer {
		b = append(b, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0)
	} else {
		b = append(b, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	}
	for _, label := range []string{fmt.Sprintf("www%d", c.number%5000), "example", "net"} {
		b = append(append(b, byte(len(label))), label...)
	}
	b = append(b, 0, 0, 1, 0, 1)
	if answer {
		b = append(b, 0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0x2c, 0, 4, 198, 18, byte(c.number>>8), byte(c.number))
	}
	return b
}

// extension is one of a TLS hello (RFC 8446, section 4.2).
func extension(b []byte, kind uint16, body ...byte) []byte {
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	return append(b, body...)
}

// handshake puts a TLS handshake message into a record of version 3.1 or later.
func handshake(kind byte, body []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{22, 3, 1}, uint16(len(body)+4))
	return append(append(b, kind, 0, byte(len(body)>>8), byte(len(body))), body...)
}

// traceHello is a ClientHello as browsers send it, but for the key of a real one.
func traceHello(c *traced) []byte {
	b := append([]byte{3, 3}, make([]byte, 32)...)
	binary.BigEndian.PutUint64(b[2:], uint64(c.number)*0x9e3779b97f4a7c15)
	b = append(append(b, 32), make([]byte, 32)...)
	b = append(b, 0, 10, 0x13, 1, 0x13, 2, 0x13, 3, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0)
	name := fmt.Sprintf("www%d.example.net", c.number%5000)
	n := len(name)
	sni := append([]byte{0, byte(n + 3), 0, 0, byte(n)}, name...)
	var e []byte
	e = extension(e, 0, sni...)
	e = extension(e, 10, 0, 4, 0, 29, 0, 23)
	e = extension(e, 13, 0, 6, 4, 3, 8, 4, 4, 1)
	e = extension(e, 16, append([]byte{0, 12, 2, 'h', '2', 8}, "http/1.1"...)...)
	e = extension(e, 43, 4, 3, 4, 3, 3)
	e = extension(e, 51, append([]byte{0, 36, 0, 29, 0, 32}, make([]byte, 32)...)...)
	e = extension(e, 21, make([]byte, 180)...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(e)))
	return handshake(1, append(b, e...))
}

// traceServerHello answers with TLS 1.3, and a record that is encrypted.
func traceServerHello(sealed []byte) []byte {
	b := append([]byte{3, 3}, make([]byte, 32)...)
	b = append(append(b, 32), make([]byte, 32)...)
	b = append(b, 0x13, 1, 0)
	e := extension(nil, 43, 3, 4)
	e = extension(e, 51, append([]byte{0, 29, 0, 32}, make([]byte, 32)...)...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(e)))
	b = handshake(2, append(b, e...))
	b = append(b, 20, 3, 3, 0, 1, 1, 23, 3, 3, 0, byte(len(sealed)))
	return append(b, sealed...)
}
