package capture

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/net/route"
	"golang.org/x/sys/unix"
)

// Find gives the interface that a name, or Auto, stands for now. Auto is that of the
// default route; without one it is the first that is up and not loopback.
func Find(wanted string) (Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return Interface{}, fmt.Errorf("list interfaces: %w", err)
	}
	index := 0
	if wanted == Auto {
		if index, err = defaultRoute(); err != nil {
			return Interface{}, err
		}
	}
	missing := &NoInterfaceError{Wanted: wanted}
	var first Interface
	for _, i := range all {
		found := Interface{Index: i.Index, Name: i.Name, Up: i.Flags&net.FlagUp != 0, Loopback: i.Flags&net.FlagLoopback != 0}
		if i.Name == wanted || i.Index == index {
			return found, nil
		}
		if first.Index == 0 && found.Up && !found.Loopback {
			first = found
		}
		missing.Have = append(missing.Have, i.Name)
	}
	if wanted == Auto && first.Index != 0 {
		return first, nil
	}
	return Interface{}, missing
}

// defaultRoute gives the index of the interface of the default route, of IPv4 before
// IPv6, 0 without one.
func defaultRoute() (int, error) {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		table, err := route.FetchRIB(family, route.RIBTypeRoute, 0)
		if err != nil {
			return 0, fmt.Errorf("read routes: %w", err)
		}
		messages, err := route.ParseRIB(route.RIBTypeRoute, table)
		if err != nil {
			return 0, fmt.Errorf("read routes: %w", err)
		}
		for _, m := range messages {
			r, ok := m.(*route.RouteMessage)
			if !ok || len(r.Addrs) == 0 || r.Flags&unix.RTF_UP == 0 || r.Flags&unix.RTF_GATEWAY == 0 || r.Flags&unix.RTF_IFSCOPE != 0 {
				continue
			}
			switch to := r.Addrs[unix.RTAX_DST].(type) {
			case *route.Inet4Addr:
				if to.IP == [4]byte{} {
					return r.Index, nil
				}
			case *route.Inet6Addr:
				if to.IP == [16]byte{} {
					return r.Index, nil
				}
			}
		}
	}
	return 0, nil
}

// Follow calls changed at once with the interface that wanted stands for, and then
// whenever that is another: the default route has moved, the interface went down, came
// up, was renamed, or another has its name. Interface is zero while there is none.
// Follow returns when ctx ends, then with nil, or when the kernel can no longer be
// asked.
func Follow(ctx context.Context, wanted string, changed func(Interface)) error {
	hear, err := unix.Socket(unix.AF_ROUTE, unix.SOCK_RAW, unix.AF_UNSPEC)
	if err != nil {
		return fmt.Errorf("hear of interfaces: %w", err)
	}
	unix.CloseOnExec(hear)
	if err := unix.SetNonblock(hear, true); err != nil {
		return errors.Join(err, unix.Close(hear))
	}
	events := os.NewFile(uintptr(hear), "route")
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
		now, err := Find(wanted)
		if err != nil && !errors.As(err, &missing) {
			return err
		}
		if now != last {
			last = now
			changed(now)
		}
		if _, err := events.Read(buf); err != nil && !errors.Is(err, unix.ENOBUFS) {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("hear of interfaces: %w", err)
		}
	}
}
