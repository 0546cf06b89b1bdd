package probe

import (
	"errors"
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	batch    = 64  // packets in one system call
	snapshot = 384 // bytes of a packet that are read: enough for a quoted packet
	room     = 8 << 20
)

// Wire sends and receives packets of one protocol over one interface, by a socket of
// packet(7) that leaves the link header to the kernel. One goroutine uses it.
type Wire struct {
	fd    int
	out   side
	in    side
	queue int // packets of out that wait
	drops uint64
}

// side is what sendmmsg(2) or recvmmsg(2) is given, at addresses that do not change.
type side struct {
	messages [batch]message
	vectors  [batch]unix.Iovec
	names    [batch]unix.RawSockaddrLinklayer
	bytes    []byte
	each     int
}

type message struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

// The ethertypes of a Wire.
const (
	EtherIPv4 = unix.ETH_P_IP
	EtherARP  = unix.ETH_P_ARP
	EtherIPv6 = unix.ETH_P_IPV6
)

// ErrPrivilege says that the process may not open packet sockets.
var ErrPrivilege = errors.New("packet sockets need CAP_NET_RAW")

// OpenWire opens a Wire for packets of an ethertype, of which the program selects those
// that are received; nil selects all.
func OpenWire(index int, ethertype uint16, program []bpf.RawInstruction) (*Wire, error) {
	// Protocol 0 receives nothing until the filter stands.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return nil, ErrPrivilege
	}
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	w := &Wire{fd: fd}
	w.out.prepare(MaxPacket)
	w.in.prepare(snapshot)
	for i := range w.out.names {
		w.out.names[i] = unix.RawSockaddrLinklayer{Family: unix.AF_PACKET, Protocol: networkOrder(ethertype), Ifindex: int32(index), Halen: 6}
	}
	if err := w.bind(index, ethertype, program); err != nil {
		return nil, errors.Join(fmt.Errorf("packet socket: %w", err), w.Close())
	}
	return w, nil
}

func (w *Wire) bind(index int, ethertype uint16, program []bpf.RawInstruction) error {
	if len(program) > 0 {
		filter := make([]unix.SockFilter, len(program))
		for i, in := range program {
			filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
		}
		if err := unix.SetsockoptSockFprog(w.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}); err != nil {
			return fmt.Errorf("filter: %w", err)
		}
	}
	// Beyond the limit of the system where the process may, else up to it.
	if unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room) != nil {
		_ = unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, room)
	}
	if err := unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: networkOrder(ethertype), Ifindex: index}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

func networkOrder(n uint16) uint16 { return n<<8 | n>>8 }

func (s *side) prepare(each int) {
	s.each, s.bytes = each, make([]byte, batch*each)
	for i := range s.messages {
		s.vectors[i].Base = &s.bytes[i*each]
		s.vectors[i].SetLen(each)
		h := &s.messages[i].header
		h.Iov = &s.vectors[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&s.names[i])) //nolint:gosec // as the system call wants it; the field lives as long as h
		h.Namelen = unix.SizeofSockaddrLinklayer
	}
}

// Slot is where the next packet is appended to, which Queue then takes.
func (w *Wire) Slot() []byte {
	at := w.queue * w.out.each
	return w.out.bytes[at : at : at+w.out.each]
}

// Queue takes the packet that was made in Slot, for the Ethernet address to. It says
// whether there is room for another; if not, Flush is due.
func (w *Wire) Queue(packet []byte, to MAC) bool {
	i := w.queue
	w.out.vectors[i].SetLen(len(packet))
	copy(w.out.names[i].Addr[:], to[:])
	w.queue++
	return w.queue < batch
}

// Flush sends what is queued. What the interface has no room for is lost, as on a wire;
// the error says that nothing can be sent any more.
func (w *Wire) Flush() error {
	for done := 0; done < w.queue; {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(w.fd), uintptr(unsafe.Pointer(&w.out.messages[done])), uintptr(w.queue-done), 0, 0, 0) //nolint:gosec // messages that the call reads
		switch errno {
		case 0:
			done += int(n)
		case unix.EINTR:
		case unix.EAGAIN, unix.ENOBUFS:
			w.wait(time.Millisecond, unix.POLLOUT)
			done++ // the one that found no room
		case unix.EPERM, unix.EHOSTUNREACH, unix.EMSGSIZE: // a guard of this host
			done++
		default:
			w.queue = 0
			return fmt.Errorf("send: %w", errno)
		}
	}
	w.queue = 0
	return nil
}

// Receive calls each with what has come, at most one batch, and says how many packets
// that were. It does not wait. The bytes are valid within the call alone.
func (w *Wire) Receive(each func(packet []byte, from MAC)) (int, error) {
	for i := range w.in.messages {
		w.in.messages[i].header.Namelen = unix.SizeofSockaddrLinklayer
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(w.fd), uintptr(unsafe.Pointer(&w.in.messages[0])), batch, unix.MSG_DONTWAIT, 0, 0) //nolint:gosec // messages that the call fills
	runtime.KeepAlive(w)
	switch errno {
	case 0:
	case unix.EAGAIN, unix.EINTR, unix.ENOBUFS:
		return 0, nil
	default:
		return 0, fmt.Errorf("receive: %w", errno)
	}
	for i := range int(n) {
		at := i * w.in.each
		length := min(int(w.in.messages[i].length), w.in.each)
		each(w.in.bytes[at:at+length], MAC(w.in.names[i].Addr[:6]))
	}
	return int(n), nil
}

// Wait waits for packets to receive, at most so long.
func (w *Wire) Wait(long time.Duration) { w.wait(long, unix.POLLIN) }

func (w *Wire) wait(long time.Duration, event int16) {
	if long <= 0 {
		return
	}
	ready := []unix.PollFd{{Fd: int32(w.fd), Events: event}}
	limit := unix.NsecToTimespec(long.Nanoseconds())
	_, _ = unix.Ppoll(ready, &limit, nil) // who calls looks for itself what has come
}

// Drops is how many answers the kernel had no room for.
func (w *Wire) Drops() uint64 {
	if s, err := unix.GetsockoptTpacketStats(w.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		w.drops += uint64(s.Drops)
	}
	return w.drops
}

// Close closes the socket.
func (w *Wire) Close() error { return unix.Close(w.fd) }

// AnswerFilter selects answers of IPv4 or IPv6 (as the ethertype says) to probes: of
// TCP to one of eight ports from base on, which eight divides, and of ICMP.
func AnswerFilter(ethertype, base uint16) ([]bpf.RawInstruction, error) {
	const keep, drop = 9, 10 // instructions, counted below
	const mask = 0xfff8
	if ethertype == EtherIPv6 {
		return bpf.Assemble([]bpf.Instruction{
			bpf.LoadAbsolute{Off: 6, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: protocolICMP6, SkipTrue: 4},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protocolTCP, SkipTrue: 4},
			bpf.LoadAbsolute{Off: header6 + 2, Size: 2},
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(base), SkipTrue: 1},
			bpf.RetConstant{Val: snapshot},
			bpf.RetConstant{Val: 0},
		})
	}
	return bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: protocolICMP, SkipTrue: keep - 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protocolTCP, SkipTrue: drop - 3},
		bpf.LoadAbsolute{Off: 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: drop - 5},
		bpf.LoadMemShift{Off: 0},
		bpf.LoadIndirect{Off: 2, Size: 2},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(base), SkipTrue: 1},
		bpf.RetConstant{Val: snapshot},
		bpf.RetConstant{Val: 0},
	})
}

// NeighbourFilter selects neighbour advertisements and echo replies of ICMPv6.
func NeighbourFilter() ([]bpf.RawInstruction, error) {
	return bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protocolICMP6, SkipTrue: 4},
		bpf.LoadAbsolute{Off: header6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 136, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 129, SkipTrue: 1},
		bpf.RetConstant{Val: snapshot},
		bpf.RetConstant{Val: 0},
	})
}
