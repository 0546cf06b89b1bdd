package flow

import (
	"fmt"
	"net"
	"sync/atomic"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// own holds the addresses of this host. It is read by all lanes and replaced whole.
type own struct {
	addresses atomic.Pointer[map[packet.Addr]struct{}]
}

// has reports whether an address is one of this host's.
func (o *own) has(a packet.Addr) bool {
	all := o.addresses.Load()
	if all == nil {
		return false
	}
	_, is := (*all)[a]
	return is
}

// read asks the system for the addresses.
func (o *own) read() error {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("read the addresses of this host: %w", err)
	}
	all := make(map[packet.Addr]struct{}, len(list))
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if ip := n.IP.To16(); ip != nil {
				all[packet.Addr(ip)] = struct{}{}
			}
		}
	}
	o.addresses.Store(&all)
	return nil
}
