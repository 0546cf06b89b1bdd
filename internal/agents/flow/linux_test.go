package flow

import (
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/flow/dissect"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func systemDecoders() []agenttest.Decoder {
	return []agenttest.Decoder{{
		Name: "answer of sock_diag", Seeds: []string{string(make([]byte, unix.SizeofNlMsghdr+sizeAnswer))},
		Decode: func(b []byte) { socketOf(b) },
	}}
}

func FuzzSocket(f *testing.F) {
	f.Add(make([]byte, unix.SizeofNlMsghdr+sizeAnswer))
	f.Fuzz(func(_ *testing.T, b []byte) { socketOf(b) })
}

// TestOwners: both ends of connections of this process are its own.
func TestOwners(t *testing.T) {
	for _, network := range []string{"tcp4", "tcp6", "udp4", "udp6"} {
		t.Run(network, func(t *testing.T) {
			client, server := pair(t, network)
			var home own
			if err := home.read(); err != nil {
				t.Fatal(err)
			}
			o := newOwners("h", &home)
			defer o.system.close()
			tuple := dissect.Tuple{Protocol: unix.IPPROTO_TCP}
			if network[0] == 'u' {
				tuple.Protocol = unix.IPPROTO_UDP
			}
			from, to := client.LocalAddr(), server.LocalAddr()
			tuple.Src, tuple.SrcPort = addrPort(t, from)
			tuple.Dst, tuple.DstPort = addrPort(t, to)
			for _, kind := range []string{event.TypeFlowCreated, event.TypeFlowEnded} {
				batch := []told{{
					tuple: tuple, first: 1,
					event: &pb.Event{Type: kind, Body: &pb.Event_Network{Network: &pb.NetworkActivity{CommunityId: "1:x"}}},
				}}
				o.name(t.Context(), batch, func() bool { return false })
				p := batch[0].event.GetNetwork().GetProcess()
				if p.GetPid() != uint32(os.Getpid()) || p.GetName() == "" || p.GetUid() == "" {
					t.Errorf("%s: %v", kind, p)
				}
				if kind == event.TypeFlowCreated {
					_ = client.Close() // and it is remembered
				}
			}
			if n := len(o.flows.young) + len(o.flows.old); n != 0 {
				t.Errorf("%d flows are remembered after their end", n)
			}
		})
	}
}

// pair is a conversation of two sockets over loopback.
func pair(t *testing.T, network string) (client, server interface {
	LocalAddr() net.Addr
	Close() error
},
) {
	t.Helper()
	at := map[byte]string{'4': "127.0.0.1:0", '6': "[::1]:0"}[network[3]]
	if network[0] == 'u' {
		s, err := net.ListenPacket(network, at)
		if err != nil {
			t.Skip(err)
		}
		c, err := net.ListenPacket(network, at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = c.Close(), s.Close() })
		return c, s
	}
	l, err := net.Listen(network, at)
	if err != nil {
		t.Skip(err)
	}
	c, err := net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _, _ = c.Close(), s.Close(), l.Close() })
	return c, s
}

func addrPort(t *testing.T, a net.Addr) (addr [16]byte, port uint16) {
	t.Helper()
	host, number, err := net.SplitHostPort(a.String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := net.LookupPort("tcp", number)
	if err != nil {
		t.Fatal(err)
	}
	return addrOf(t, host), uint16(n)
}

// TestWalksAreFew: after maxWalks at once the next waits, unless others wait for it.
func TestWalksAreFew(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	o := &owners{
		own: &own{}, system: countless{}, now: func() time.Time { return at },
		sockets: map[uint64]owner{}, wanted: map[uint64]*pb.Process{},
	}
	walked := 0
	for i := range 10 {
		o.find(t.Context(), []uint64{uint64(100 + i)}, func() bool { return true })
		if _, known := o.sockets[uint64(100+i)]; known {
			walked++
		}
	}
	if walked != maxWalks {
		t.Errorf("%d walks at once", walked)
	}
}

type countless struct{}

func (countless) inode(uint8, end, end) uint64 { return 0 }
func (countless) walk(map[uint64]*pb.Process)  {}
func (countless) close()                       {}
