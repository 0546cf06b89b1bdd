package collect

import (
	"net/netip"
	"time"
)

// Know makes exporters such as have sent for two minutes.
func (r *Receiver) Know(now time.Time, exporters ...netip.Addr) {
	for _, from := range exporters {
		r.door.limits.UseAt(from, now.UnixNano()-2*proof)
		r.door.limits.UseAt(from, now.UnixNano())
	}
}
