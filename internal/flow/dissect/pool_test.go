package dissect

import (
	"crypto/tls"
	"encoding/binary"
	"testing"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// TestFloodOfBeginnings: flows that are begun and not gone on with, of datagrams or of TCP,
// take the room of each other alone: a connection that goes on meanwhile tells what it
// would have told without them.
func TestFloodOfBeginnings(t *testing.T) {
	messages := recordTLS(t, &tls.Config{ServerName: "www.example.com", MinVersion: tls.VersionTLS12}, tls.VersionTLS12)
	junk := make([]byte, 1200)
	for name, protocol := range map[string]uint8{"datagrams": ipUDP, "tcp": ipTCP} {
		t.Run(name, func(t *testing.T) {
			e := New(Options{MaxBuffered: 1 << 20})
			var all []*State
			flood := func() {
				for range 2000 {
					s := e.Begin(Tuple{SrcPort: uint16(len(all)), DstPort: 9999, Protocol: protocol})
					all = append(all, s)
					binary.BigEndian.PutUint32(junk[600:], uint32(len(all)))
					for i := range 2 {
						p := packet.Packet{Protocol: protocol, Seq: uint32(i * 700), Payload: junk[:700], PayloadBytes: 700}
						e.Inspect(s, FromInitiator, &p)
					}
				}
			}
			s := e.Begin(tcpTuple(443))
			seq := [2]uint32{1000, 5000}
			for dir := range seq { // The capture saw that both sides speak.
				syn := packet.Packet{Protocol: ipTCP, Flags: packet.SYN, Seq: seq[dir] - 1}
				e.Inspect(s, Direction(dir), &syn)
			}
			for _, m := range messages {
				for len(m.data) > 0 {
					n := min(700, len(m.data))
					p := packet.Packet{Protocol: ipTCP, Seq: seq[m.dir], Payload: m.data[:n], PayloadBytes: uint32(n)}
					seq[m.dir] += uint32(n)
					m.data = m.data[n:]
					e.Inspect(s, m.dir, &p)
					flood()
				}
			}
			if f := e.End(s); f == nil || f.TLS == nil || f.TLS.SNI != "www.example.com" || f.TLS.SHA256 == "" {
				t.Errorf("%+v of a flow in a flood", f)
			}
			if n := e.Stats().Buffered; n > 1<<20 {
				t.Errorf("%d bytes are kept", n)
			}
			for _, s := range all {
				e.End(s)
			}
			if n := e.Stats().Buffered; n != 0 {
				t.Errorf("%d bytes are kept of no flow", n)
			}
			for i := range e.pool.kinds {
				if k := e.pool.kinds[i]; k != (holders{}) {
					t.Errorf("kind %d: %+v", i, k)
				}
			}
		})
	}
}
