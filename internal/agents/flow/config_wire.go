package flow

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/amoskys/amoskys/internal/config"
)

// interfaceNone as capture.interface captures nothing: of a host that only collects.
const interfaceNone = "none"

// Collect says which flows of others are taken: NetFlow v5 and v9, IPFIX and sFlow v5.
type Collect struct {
	// Listen is host:port, for UDP and for IPFIX over TCP; empty collects nothing.
	Listen string `yaml:"listen"`
	// Allow are the addresses and networks of exporters.
	Allow []string `yaml:"allow"`
	// HostLabel is the label of events that gets the exporter's address; empty sets none.
	HostLabel string `yaml:"host_label"`
	// RatePerSecond is how many datagrams an exporter may send.
	RatePerSecond int `yaml:"rate_per_second"`
}

// Export says where our own flows go beside the hub.
type Export struct {
	IPFIX   ExportIPFIX   `yaml:"ipfix"`
	ConnLog ExportConnLog `yaml:"conn_log"`
}

// ExportIPFIX is a collector of IPFIX; an empty Address is none.
type ExportIPFIX struct {
	Address string `yaml:"address"` // host:port
	Network string `yaml:"network"` // udp or tcp
	Domain  uint32 `yaml:"domain"`
}

// ExportConnLog is a file of lines as in Zeek's conn.log; an empty Path is none.
type ExportConnLog struct {
	Path      string `yaml:"path"`
	MaxSizeMB int    `yaml:"max_size_mb"`
}

func defaultCollect() Collect { return Collect{Allow: []string{}, RatePerSecond: 10_000} }

func defaultExport() Export {
	return Export{IPFIX: ExportIPFIX{Network: "udp"}, ConnLog: ExportConnLog{MaxSizeMB: 100}}
}

// collects says whether flows of others are taken.
func (c *Config) collects() bool { return c.Collect.Listen != "" }

// captures says whether an interface is listened on.
func (c *Config) captures() bool { return c.Capture.Interface != interfaceNone }

// maxAllow is how many entries the list of exporters may have: each datagram is held
// against all.
const maxAllow = 256

func (c *Collect) validate(v *config.Check) {
	if c.Listen != "" {
		checkAddress(v, "listen", c.Listen, true)
	}
	if c.Listen != "" && len(c.Allow) == 0 {
		v.Add("allow", "must name the exporters that are listened to, such as [192.0.2.1], where listen is set: an empty list allows nobody")
	}
	if len(c.Allow) > maxAllow {
		v.Add("allow", "%d entries are more than %d: name networks", len(c.Allow), maxAllow)
	}
	for i, text := range c.Allow {
		if _, err := config.ParseNetwork(text); err != nil {
			v.Add(fmt.Sprintf("allow[%d]", i), "%q is neither an address nor a network, such as 192.0.2.1 or 192.0.2.0/28", text)
		}
	}
	if c.HostLabel != "" {
		v.Name("host_label", c.HostLabel)
	}
	v.Range("rate_per_second", c.RatePerSecond, 1, 1_000_000)
}

func (e *Export) validate(v *config.Check) {
	if e.IPFIX.Address != "" {
		checkAddress(v, "ipfix.address", e.IPFIX.Address, false)
	}
	v.OneOf("ipfix.network", e.IPFIX.Network, "udp", "tcp")
	v.Range("conn_log.max_size_mb", e.ConnLog.MaxSizeMB, 1, 1<<20)
}

// checkAddress reports what is no host:port. Where local, the host may be left out, and
// the port be 0.
func checkAddress(v *config.Check, key, address string, local bool) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		example := "192.0.2.9:4739"
		if local {
			example = ":2055, or 192.0.2.9:2055 for one address of this host"
		}
		v.Add(key, "%q is not host:port, such as %s", address, example)
		return
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 0 || n > 65535 || n == 0 && !local {
		v.Add(key, "%q is no port: use a number from 1 to 65535", port)
	}
	if host == "" && local {
		return
	}
	if _, err := netip.ParseAddr(host); local && err != nil {
		v.Add(key, "%q is not an IP address of this host; leave it out to listen on all", host)
		return
	}
	v.Host(key, host)
}

// allowed are the exporters; the Collect must be valid.
func (c *Collect) allowed() []netip.Prefix {
	out := make([]netip.Prefix, 0, len(c.Allow))
	for _, text := range c.Allow {
		if p, err := config.ParseNetwork(text); err == nil {
			out = append(out, p)
		}
	}
	return out
}
