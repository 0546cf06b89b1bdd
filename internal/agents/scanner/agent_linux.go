package scanner

import (
	"bufio"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"strings"
)

// gateways are the routers of this host's default routes, as /proc/net/route has them
// (proc_net(5)); none where they cannot be read.
func gateways() []netip.Addr {
	f, err := os.Open("/proc/net/route")
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	return readRoutes(f)
}

// readRoutes reads at most a thousand routes.
func readRoutes(r io.Reader) []netip.Addr {
	var out []netip.Addr
	lines := bufio.NewScanner(io.LimitReader(r, 256<<10))
	for lines.Scan() && len(out) < 16 {
		f := strings.Fields(lines.Text())
		if len(f) < 8 || f[1] != "00000000" || f[7] != "00000000" || f[2] == "00000000" {
			continue
		}
		b, err := hex.DecodeString(f[2])
		if err != nil || len(b) != 4 {
			continue
		}
		out = append(out, netip.AddrFrom4([4]byte{b[3], b[2], b[1], b[0]})) // in the order of a little-endian host
	}
	return out
}
