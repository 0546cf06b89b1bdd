package dissect

import (
	"crypto/tls"
	"math/rand/v2"
	"testing"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// packets are what play would show to an Engine.
func packets(messages []message, size int) (ps []packet.Packet, dirs []Direction) {
	var seq [2]uint32
	for i, m := range messages {
		for b := m.data; len(b) > 0; {
			n := min(size, len(b))
			ps = append(ps, packet.Packet{Seq: seq[m.dir], Payload: b[:n:n], PayloadBytes: uint32(n), Time: int64(i) * 1e6})
			dirs = append(dirs, m.dir)
			seq[m.dir] += uint32(n)
			b = b[n:]
		}
	}
	return ps, dirs
}

func benchmarkFlow(b *testing.B, t Tuple, messages []message) {
	ps, dirs := packets(messages, 1400)
	e := New(Options{})
	b.ReportAllocs()
	for b.Loop() {
		s := e.Begin(t)
		for i := range ps {
			if e.Inspect(s, dirs[i], &ps[i]) == Done {
				break
			}
		}
		e.End(s)
	}
}

func BenchmarkFlowTLS13(b *testing.B) {
	benchmarkFlow(b, tcpTuple(443), recordTLS(b, &tls.Config{ServerName: "www.example.com", NextProtos: []string{"h2", "http/1.1"}}, tls.VersionTLS13))
}

func BenchmarkFlowTLS12(b *testing.B) {
	benchmarkFlow(b, tcpTuple(443), recordTLS(b, &tls.Config{ServerName: "www.example.com"}, tls.VersionTLS12))
}

func BenchmarkFlowDNS(b *testing.B) {
	benchmarkFlow(b, udpTuple(53), []message{{FromInitiator, dnsQuestion(7, "www.example.com", 1)}, {FromResponder, dnsAnswer(7, "www.example.com", [4]byte{192, 0, 2, 1})}})
}

func BenchmarkFlowHTTP(b *testing.B) {
	benchmarkFlow(b, tcpTuple(80), []message{
		{FromInitiator, []byte("GET /index.html HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: probe/1.0\r\nAccept: */*\r\n\r\n")},
		{FromResponder, []byte("HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello")},
	})
}

// BenchmarkFlowKnown is a protocol of which only the name is told.
func BenchmarkFlowKnown(b *testing.B) {
	benchmarkFlow(b, tcpTuple(27017), []message{
		{FromInitiator, []byte("\x3a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xd4\x07\x00\x00\x00\x00\x00\x00admin.$cmd\x00\x00\x00\x00\x00\xff\xff\xff\xff\x13\x00\x00\x00\x10ismaster\x00\x01\x00\x00\x00\x00")},
	})
}

func BenchmarkFlowUnknown(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var messages []message
	for i := range 12 {
		data := make([]byte, 600)
		for j := range data {
			data[j] = byte(r.Uint32())
		}
		messages = append(messages, message{Direction(i % 2), data})
	}
	b.Run("tcp", func(b *testing.B) { benchmarkFlow(b, tcpTuple(40001), messages) })
	b.Run("udp", func(b *testing.B) { benchmarkFlow(b, udpTuple(40001), messages) })
}
