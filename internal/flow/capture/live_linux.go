package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// Open begins to capture, and gives o.Fanout sources that share the frames. They are
// sockets of packet(7) with rings that the kernel fills (TPACKET_V3, Linux 3.2).
//
// No frame comes in that the filter does not let through: until all is set up, a
// filter takes none.
func Open(o Options) ([]Source, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	on, err := Find(o.Interface)
	if err != nil {
		return nil, err
	}
	if !on.Up {
		return nil, fmt.Errorf("interface %s: %w; ip link set %s up", on.Name, ErrInterfaceDown, on.Name)
	}
	link, cooked := linkOfHardware(on.Hardware)
	program, err := o.program(link)
	if err != nil {
		return nil, err
	}
	rings := make([]*ring, 0, o.Fanout)
	for range o.Fanout {
		r, err := openRing(on, o, link, cooked)
		if err == nil {
			rings = append(rings, r)
			err = r.join(rings[0], o.Fanout)
		}
		if err == nil {
			continue
		}
		return nil, errors.Join(fmt.Errorf("capture from %s: %w", on.Name, err), closeRings(rings))
	}
	sources := make([]Source, len(rings))
	for i, r := range rings {
		if err := attach(r.fd, program); err != nil {
			return nil, errors.Join(fmt.Errorf("capture from %s: filter: %w", on.Name, err), closeRings(rings))
		}
		sources[i] = r
	}
	return sources, nil
}

func closeRings(rings []*ring) error {
	errs := make([]error, 0, len(rings))
	for _, r := range rings {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}

// linkOfHardware gives the link type of frames of an interface's ARPHRD type. Where
// the link header is of no use the kernel takes it off: cooked.
func linkOfHardware(hardware uint16) (link packet.Link, cooked bool) {
	switch hardware {
	case unix.ARPHRD_ETHER, unix.ARPHRD_LOOPBACK:
		return packet.LinkEthernet, false
	case unix.ARPHRD_IEEE80211:
		return packet.LinkWiFi, false
	case unix.ARPHRD_IEEE80211_RADIOTAP:
		return packet.LinkRadiotap, false
	case unix.ARPHRD_NONE, unix.ARPHRD_RAWIP:
		return packet.LinkRaw, false
	}
	return packet.LinkRaw, true
}

// attach puts a filter on a socket, in place of the one before.
func attach(fd int, program []bpf.RawInstruction) error {
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}

// openRing makes a socket with its ring and binds it, with a filter that takes nothing.
func openRing(on Interface, o Options, link packet.Link, cooked bool) (r *ring, err error) {
	kind := unix.SOCK_RAW
	if cooked {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(unix.AF_PACKET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, privilege(err)
	}
	r = &ring{fd: fd, on: on, link: link, size: blockSize}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if err := attach(fd, []bpf.RawInstruction{{Op: 0x06}}); err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	if err := r.configure(o); err != nil {
		return nil, err
	}
	if r.memory, err = unix.Mmap(fd, 0, o.Blocks*blockSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map a ring of %d MiB: %w", o.Blocks*blockSize>>20, err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: on.Index}); err != nil {
		return nil, fmt.Errorf("bind: %w", err)
	}
	if err := r.watch(); err != nil {
		return nil, err
	}
	return r, nil
}

// configure sets what must be before a ring is: its version, room for a VLAN tag, and
// the header that tells of segments, which kernels may refuse.
func (r *ring) configure(o Options) error {
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return fmt.Errorf("TPACKET_V3: %w", err)
	}
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_RESERVE, vlanTag); err != nil {
		return fmt.Errorf("PACKET_RESERVE: %w", err)
	}
	r.segments = unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1) == nil
	if r.on.Loopback { // what goes out comes in again; older kernels leave it to Next
		_ = unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	}
	err := r.makeRing(o.Blocks)
	if err != nil && r.segments {
		r.segments = false
		if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 0); err != nil {
			return fmt.Errorf("PACKET_VNET_HDR: %w", err)
		}
		err = r.makeRing(o.Blocks)
	}
	if err != nil {
		return fmt.Errorf("make a ring of %d MiB: %w", o.Blocks*blockSize>>20, err)
	}
	for _, m := range []struct {
		wanted bool
		kind   uint16
		what   string
	}{
		{o.Promiscuous, unix.PACKET_MR_PROMISC, "promiscuous mode"},
		{o.AllMulticast, unix.PACKET_MR_ALLMULTI, "frames to all groups"},
	} {
		if !m.wanted {
			continue
		}
		member := unix.PacketMreq{Ifindex: int32(r.on.Index), Type: m.kind}
		if err := unix.SetsockoptPacketMreq(r.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &member); err != nil {
			return fmt.Errorf("%s: %w", m.what, err)
		}
	}
	return nil
}

// retireAfter is how long a block waits to be full, in milliseconds.
const retireAfter = 20

func (r *ring) makeRing(blocks int) error {
	const frame = 2048 // of no meaning in version 3, but it must divide a block
	return unix.SetsockoptTpacketReq3(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq3{
		Block_size: blockSize, Block_nr: uint32(blocks),
		Frame_size: frame, Frame_nr: uint32(blocks * blockSize / frame),
		Retire_blk_tov: retireAfter,
	})
}

// join puts r into the group of first, which it makes if it is first itself. The
// kernel spreads frames by a hash that is the same for both directions of a flow.
func (r *ring) join(first *ring, members int) error {
	if members == 1 {
		return nil
	}
	group := unix.PACKET_FANOUT_HASH<<16 | unix.PACKET_FANOUT_FLAG_UNIQUEID<<16
	if r != first {
		id, err := unix.GetsockoptInt(first.fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
		if err != nil {
			return fmt.Errorf("PACKET_FANOUT: %w", err)
		}
		group = id & 0xffff
	}
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_FANOUT, group); err != nil {
		return fmt.Errorf("PACKET_FANOUT: %w", err)
	}
	return nil
}

// networkOrder gives a number as bind(2) takes it.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

// privilege makes of a refused socket an error that says what helps.
func privilege(err error) error {
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("open packet socket: %w", err)
	}
	program, e := os.Executable()
	if e != nil {
		program = "amoskys"
	}
	command := "sudo setcap cap_net_raw+ep " + program + "; or start it as root; in a container, with --cap-add NET_RAW"
	if os.Geteuid() == 0 {
		command = "this root lacks it: docker run --cap-add NET_RAW, or CapabilityBoundingSet= of the unit"
	}
	return &PrivilegeError{Needs: "CAP_NET_RAW", Command: command, Err: err}
}

// Sizes of what the kernel writes into a ring, by the names of linux/if_packet.h.
const (
	packetHeader = int(unsafe.Sizeof(unix.Tpacket3Hdr{}))
	vnetHeader   = 10 // struct virtio_net_hdr
	vlanTag      = 4
)
