package play

import (
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
)

// addressed is a socket of all addresses that answers from the one that was asked.
type addressed struct {
	conn *net.UDPConn
	oob  []byte
}

func newAddressed(conn *net.UDPConn) (wire, error) {
	if err := ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst, true); err != nil {
		return nil, fmt.Errorf("learn which address is asked: %w", err)
	}
	return &addressed{conn: conn, oob: make([]byte, 128)}, nil
}

func (a *addressed) read(b []byte) (int, route, error) {
	for {
		n, oob, _, from, err := a.conn.ReadMsgUDPAddrPort(b, a.oob)
		if err != nil {
			return 0, route{}, err
		}
		var m ipv4.ControlMessage
		if m.Parse(a.oob[:oob]) != nil {
			continue
		}
		local, ok := netip.AddrFromSlice(m.Dst)
		if local = local.Unmap(); !ok || !local.IsLoopback() {
			continue // nobody but this machine is answered
		}
		return n, route{from: netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), local: local}, nil
	}
}

func (a *addressed) write(b []byte, at route) {
	m := ipv4.ControlMessage{Src: at.local.AsSlice()}
	_, _, _ = a.conn.WriteMsgUDPAddrPort(b, m.Marshal(), at.from)
}
