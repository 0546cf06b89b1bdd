package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Find gives the interface that a name, or Auto, stands for now. Auto is that of the
// default route in the main table, of IPv4 before IPv6 and the least metric before
// others; without one it is the first that is up and not loopback.
func Find(wanted string) (Interface, error) {
	fd, err := routeSocket(0)
	if err != nil {
		return Interface{}, err
	}
	defer func() { _ = unix.Close(fd) }()
	return find(fd, wanted)
}

func find(fd int, wanted string) (Interface, error) {
	all, err := links(fd)
	if err != nil {
		return Interface{}, err
	}
	if wanted != Auto {
		for _, i := range all {
			if i.Name == wanted {
				return i, nil
			}
		}
		return Interface{}, noInterface(wanted, all)
	}
	index, err := defaultRoute(fd)
	if err != nil {
		return Interface{}, err
	}
	for _, i := range all {
		if i.Index == index {
			return i, nil
		}
	}
	for _, i := range all {
		if i.Up && !i.Loopback {
			return i, nil
		}
	}
	return Interface{}, noInterface(wanted, all)
}

func noInterface(wanted string, all []Interface) error {
	e := &NoInterfaceError{Wanted: wanted}
	for _, i := range all {
		e.Have = append(e.Have, i.Name)
	}
	return e
}

// routeSocket opens a socket of rtnetlink(7) that hears of the groups given.
func routeSocket(groups uint32) (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return -1, fmt.Errorf("open netlink: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("bind netlink: %w", err)
	}
	return fd, nil
}

// dump asks for all of a kind and calls each with every answer.
func dump(fd int, kind uint16, family byte, each func(syscall.NetlinkMessage)) error {
	request := make([]byte, unix.SizeofNlMsghdr+unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(request[0:], uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], kind)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	binary.NativeEndian.PutUint32(request[8:], 1)
	request[unix.SizeofNlMsghdr] = family
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("ask netlink: %w", err)
	}
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read netlink: %w", err)
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return fmt.Errorf("read netlink: %w", err)
		}
		for _, m := range messages {
			switch m.Header.Type {
			case unix.NLMSG_DONE:
				return nil
			case unix.NLMSG_ERROR:
				if len(m.Data) >= 4 {
					return fmt.Errorf("read netlink: %w", unix.Errno(-int32(binary.NativeEndian.Uint32(m.Data))))
				}
				return errors.New("read netlink: an error without a number")
			}
			each(m)
		}
	}
}

// links gives all interfaces in the order of their numbers.
func links(fd int) ([]Interface, error) {
	var all []Interface
	err := dump(fd, unix.RTM_GETLINK, unix.AF_UNSPEC, func(m syscall.NetlinkMessage) {
		if m.Header.Type != unix.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg {
			return
		}
		flags := binary.NativeEndian.Uint32(m.Data[8:])
		i := Interface{
			Index:    int(int32(binary.NativeEndian.Uint32(m.Data[4:]))),
			Up:       flags&unix.IFF_UP != 0,
			Loopback: flags&unix.IFF_LOOPBACK != 0,
			Hardware: binary.NativeEndian.Uint16(m.Data[2:]),
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return
		}
		for _, a := range attributes {
			if a.Attr.Type == unix.IFLA_IFNAME {
				i.Name = string(bytes.TrimRight(a.Value, "\x00"))
			}
		}
		all = append(all, i)
	})
	slices.SortFunc(all, func(a, b Interface) int { return a.Index - b.Index })
	return all, err
}

// defaultRoute gives the index of the interface of the default route, 0 without one.
func defaultRoute(fd int) (int, error) {
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		index, best := 0, uint32(0)
		err := dump(fd, unix.RTM_GETROUTE, family, func(m syscall.NetlinkMessage) {
			if at, metric, ok := routeOf(m); ok && (index == 0 || metric < best) {
				index, best = at, metric
			}
		})
		if err != nil || index != 0 {
			return index, err
		}
	}
	return 0, nil
}

// routeOf reads a route; ok says that it is a default route of the main table that
// leads out of an interface.
func routeOf(m syscall.NetlinkMessage) (index int, metric uint32, ok bool) {
	if m.Header.Type != unix.RTM_NEWROUTE || len(m.Data) < unix.SizeofRtMsg {
		return 0, 0, false
	}
	const destinationLength, table, kind = 1, 4, 7
	if m.Data[destinationLength] != 0 || m.Data[table] != unix.RT_TABLE_MAIN || m.Data[kind] != unix.RTN_UNICAST {
		return 0, 0, false
	}
	attributes, err := syscall.ParseNetlinkRouteAttr(&m)
	if err != nil {
		return 0, 0, false
	}
	for _, a := range attributes {
		switch {
		case a.Attr.Type == unix.RTA_OIF && len(a.Value) >= 4:
			index = int(int32(binary.NativeEndian.Uint32(a.Value)))
		case a.Attr.Type == unix.RTA_PRIORITY && len(a.Value) >= 4:
			metric = binary.NativeEndian.Uint32(a.Value)
		case a.Attr.Type == unix.RTA_MULTIPATH && len(a.Value) >= unix.SizeofRtNexthop:
			index = int(int32(binary.NativeEndian.Uint32(a.Value[4:]))) // the first of several ways
		}
	}
	return index, metric, index != 0
}

// Follow calls changed at once with the interface that wanted stands for, and then
// whenever that is another: the default route has moved, the interface went down, came
// up, was renamed, or another has its name. Interface is zero while there is none.
// Follow returns when ctx ends, then with nil, or when the kernel can no longer be
// asked.
func Follow(ctx context.Context, wanted string, changed func(Interface)) error {
	ask, err := routeSocket(0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(ask) }()
	hear, err := routeSocket(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(hear, true); err != nil {
		return errors.Join(err, unix.Close(hear))
	}
	events := os.NewFile(uintptr(hear), "netlink")
	stop := context.AfterFunc(ctx, func() { _ = events.Close() })
	defer func() {
		if stop() {
			_ = events.Close()
		}
	}()

	var missing *NoInterfaceError
	last := Interface{Index: -1}
	buf := make([]byte, 64<<10)
	for {
		now, err := find(ask, wanted)
		if err != nil && !errors.As(err, &missing) {
			return err
		}
		if now != last {
			last = now
			changed(now)
		}
		// What the message says does not matter: all is asked for again. Nor does it
		// that some were lost (ENOBUFS).
		if _, err := events.Read(buf); err != nil && !errors.Is(err, unix.ENOBUFS) {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("hear of interfaces: %w", err)
		}
	}
}
