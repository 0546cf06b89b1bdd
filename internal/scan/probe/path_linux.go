package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNoRoute says that this host knows no way to an address.
var ErrNoRoute = errors.New("no route")

// Routes asks the kernel for paths (rtnetlink(7)). One goroutine uses it.
type Routes struct {
	fd     int
	links  map[int]link
	buffer []byte
}

type link struct {
	name     string
	own      MAC
	ethernet bool
	loopback bool
}

// OpenRoutes begins to ask.
func OpenRoutes() (*Routes, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, errors.Join(fmt.Errorf("bind netlink: %w", err), unix.Close(fd))
	}
	return &Routes{fd: fd, links: map[int]link{}, buffer: make([]byte, 8<<10)}, nil
}

// Close ends the asking.
func (r *Routes) Close() error { return unix.Close(r.fd) }

// To gives the path to an address. The error is ErrNoRoute where there is none.
func (r *Routes) To(a netip.Addr) (Path, error) {
	address := a.AsSlice()
	request := make([]byte, unix.SizeofNlMsghdr+unix.SizeofRtMsg+unix.SizeofRtAttr+len(address))
	binary.NativeEndian.PutUint32(request[0:], uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], unix.RTM_GETROUTE)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST)
	m := request[unix.SizeofNlMsghdr:]
	m[0], m[1] = unix.AF_INET, byte(len(address)*8)
	if a.Is6() {
		m[0] = unix.AF_INET6
	}
	attribute := m[unix.SizeofRtMsg:]
	binary.NativeEndian.PutUint16(attribute, uint16(unix.SizeofRtAttr+len(address)))
	binary.NativeEndian.PutUint16(attribute[2:], unix.RTA_DST)
	copy(attribute[unix.SizeofRtAttr:], address)
	if err := unix.Sendto(r.fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return Path{}, fmt.Errorf("ask netlink: %w", err)
	}
	n, _, err := unix.Recvfrom(r.fd, r.buffer, 0)
	for errors.Is(err, unix.EINTR) {
		n, _, err = unix.Recvfrom(r.fd, r.buffer, 0)
	}
	if err != nil {
		return Path{}, fmt.Errorf("read netlink: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(r.buffer[:n])
	if err != nil || len(messages) == 0 {
		return Path{}, fmt.Errorf("read netlink: %w", errors.Join(err, errors.New("no route in the answer")))
	}
	return r.read(messages[0])
}

func (r *Routes) read(m syscall.NetlinkMessage) (Path, error) {
	if m.Header.Type != unix.RTM_NEWROUTE || len(m.Data) < unix.SizeofRtMsg {
		return Path{}, ErrNoRoute
	}
	attributes, err := syscall.ParseNetlinkRouteAttr(&m)
	if err != nil {
		return Path{}, fmt.Errorf("read netlink: %w", err)
	}
	p := Path{Self: m.Data[7] == unix.RTN_LOCAL}
	if kind := m.Data[7]; kind != unix.RTN_LOCAL && kind != unix.RTN_UNICAST {
		return Path{}, ErrNoRoute // broadcast, blackhole and the like
	}
	for _, a := range attributes {
		switch a.Attr.Type {
		case unix.RTA_OIF:
			p.Index = int(binary.NativeEndian.Uint32(a.Value))
		case unix.RTA_GATEWAY:
			p.Gateway, _ = netip.AddrFromSlice(a.Value)
		case unix.RTA_PREFSRC:
			p.Source, _ = netip.AddrFromSlice(a.Value)
		}
	}
	l, err := r.link(p.Index)
	if err != nil {
		return Path{}, err
	}
	p.Interface, p.Own, p.Ethernet, p.Self = l.name, l.own, l.ethernet, p.Self || l.loopback
	if !p.Source.IsValid() && !p.Self {
		return Path{}, ErrNoRoute
	}
	return p, nil
}

func (r *Routes) link(index int) (link, error) {
	if l, known := r.links[index]; known {
		return l, nil
	}
	i, err := net.InterfaceByIndex(index)
	if err != nil {
		return link{}, fmt.Errorf("interface %d: %w", index, err)
	}
	l := link{name: i.Name, loopback: i.Flags&net.FlagLoopback != 0}
	if len(i.HardwareAddr) == 6 {
		l.own, l.ethernet = MAC(i.HardwareAddr), !l.loopback && i.Flags&net.FlagPointToPoint == 0
	}
	r.links[index] = l
	return l, nil
}

// Neighbours reads which Ethernet addresses the kernel knows of neighbours of IPv4
// (proc_pid_net(5), arp), for scans without privilege.
func Neighbours() map[netip.Addr]MAC {
	table, err := os.ReadFile("/proc/thread-self/net/arp")
	if err != nil {
		return nil
	}
	known := map[netip.Addr]MAC{}
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) < 6 {
			continue
		}
		ip, err := netip.ParseAddr(f[0])
		flags, flagsErr := strconv.ParseUint(f[2], 0, 32)
		hardware, macErr := net.ParseMAC(f[3])
		const complete = 2 // ATF_COM
		if err != nil || flagsErr != nil || macErr != nil || flags&complete == 0 || len(hardware) != 6 || MAC(hardware).IsZero() {
			continue
		}
		known[ip] = MAC(hardware)
	}
	return known
}

// Segment is a network of an interface of this host.
type Segment struct {
	Path   Path // Source is our address in it
	Prefix netip.Prefix
}

// Segments are the networks of the Ethernet interfaces that are up.
func Segments() ([]Segment, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var out []Segment
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 || i.Flags&(net.FlagLoopback|net.FlagPointToPoint) != 0 || len(i.HardwareAddr) != 6 {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("addresses of %s: %w", i.Name, err)
		}
		for _, a := range addresses {
			prefix, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			out = append(out, Segment{
				Path:   Path{Index: i.Index, Interface: i.Name, Own: MAC(i.HardwareAddr), Ethernet: true, Source: prefix.Addr()},
				Prefix: prefix.Masked(),
			})
		}
	}
	return out, nil
}
