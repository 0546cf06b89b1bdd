package dissect

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// message is what one side sent at once.
type message struct {
	dir  Direction
	data []byte
}

// recorder keeps what crosses it, in order.
type recorder struct {
	net.Conn
	mu       *sync.Mutex
	messages *[]message
	dir      Direction
}

func (r recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	*r.messages = append(*r.messages, message{r.dir, append([]byte(nil), b...)})
	r.mu.Unlock()
	return r.Conn.Write(b)
}

// recordTLS is a real handshake and what both sides sent.
func recordTLS(t testing.TB, client *tls.Config, version uint16) []message {
	t.Helper()
	var messages []message
	var mu sync.Mutex
	a, b := net.Pipe()
	ca, cb := recorder{a, &mu, &messages, FromInitiator}, recorder{b, &mu, &messages, FromResponder}
	server := tls.Server(cb, &tls.Config{Certificates: []tls.Certificate{testCertificate(t)}, MinVersion: version, MaxVersion: version, NextProtos: []string{"h2"}})
	done := make(chan error, 1)
	go func() {
		_, err := io.WriteString(server, "hello")
		done <- err
	}()
	client.InsecureSkipVerify = true
	c := tls.Client(ca, client)
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	a.Close()
	b.Close()
	return messages
}

func testCertificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "www.example.com", Organization: []string{"Example"}},
		NotBefore: time.Unix(1_700_000_000, 0), NotAfter: time.Unix(1_900_000_000, 0), DNSNames: []string{"www.example.com", "example.com"},
	}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// tcpTuple and udpTuple are flows to a port.
func tcpTuple(port uint16) Tuple {
	return Tuple{SrcPort: 40000, DstPort: port, Protocol: ipTCP}
}

func udpTuple(port uint16) Tuple {
	return Tuple{SrcPort: 40000, DstPort: port, Protocol: ipUDP}
}

// play shows messages to an Engine, each in segments of at most size bytes.
func play(e *Engine, t Tuple, messages []message, size int) *Facts {
	s := e.Begin(t)
	var seq [2]uint32
	var p packet.Packet
	for i, m := range messages {
		for len(m.data) > 0 {
			n := min(size, len(m.data))
			p = packet.Packet{Protocol: t.Protocol, Seq: seq[m.dir], Payload: m.data[:n:n], PayloadBytes: uint32(n), Time: int64(i) * 1e6}
			seq[m.dir] += uint32(n)
			m.data = m.data[n:]
			e.Inspect(s, m.dir, &p)
		}
	}
	return e.End(s)
}

func segmentAt(seq uint32, data string) packet.Packet {
	return packet.Packet{Protocol: ipTCP, Seq: seq, Payload: []byte(data), PayloadBytes: uint32(len(data))}
}
