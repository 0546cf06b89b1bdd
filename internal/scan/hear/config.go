package hear

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/config"
)

// Config is the section `findings` of the scanner's configuration, as far as it is about
// what is heard.
type Config struct {
	// Enabled looks for findings at all.
	Enabled bool `yaml:"enabled"`
	// Disabled are kinds that are not told, such as "duplicate_address".
	Disabled []string `yaml:"disabled"`
	// DHCPServers are the addresses, IP or MAC, of servers that may give addresses. Empty
	// takes those that are heard within LearnMinutes of the first one.
	DHCPServers []string `yaml:"dhcp_servers"`
	// LearnMinutes is for how long DHCP servers are learnt; 0 never learns.
	LearnMinutes int `yaml:"learn_minutes"`
	// TrustedMACs are those of hosts that may take addresses of others: balancers and
	// clusters that stand in for each other.
	TrustedMACs []string `yaml:"trusted_macs"`
	// ConflictSeconds is within what time two hosts have to claim one address in turns.
	ConflictSeconds int `yaml:"conflict_seconds"`
	// SpoofedAddresses is how many addresses of others one host has to claim.
	SpoofedAddresses int `yaml:"spoofed_addresses"`
	// GratuitousPerMinute is how many unasked claims of one host in a minute are a flood.
	GratuitousPerMinute int `yaml:"gratuitous_per_minute"`
	// WindowSeconds is after what time the same finding is told again.
	WindowSeconds int `yaml:"window_seconds"`
	// MaxPerMinute is how many findings are told in a minute.
	MaxPerMinute int `yaml:"max_per_minute"`
}

// DefaultConfig returns the configuration that applies where the file is silent.
func DefaultConfig() Config {
	return Config{
		Enabled: true, LearnMinutes: 60, ConflictSeconds: 120, SpoofedAddresses: 3, GratuitousPerMinute: 120, WindowSeconds: 3600,
		MaxPerMinute: 30,
	}
}

// Validate reports every rule that c breaks.
func (c *Config) Validate(v *config.Check) {
	for i, name := range c.Disabled {
		if !slices.Contains(Kinds(), name) {
			v.Add(fmt.Sprintf("disabled[%d]", i), "%q is no kind of finding: there are %s", name, strings.Join(Kinds(), ", "))
		}
	}
	for i, text := range c.DHCPServers {
		_, ipErr := netip.ParseAddr(text)
		if _, macErr := net.ParseMAC(text); ipErr != nil && macErr != nil {
			v.Add(fmt.Sprintf("dhcp_servers[%d]", i), "%q is neither an IP address nor a MAC address", text)
		}
	}
	for i, text := range c.TrustedMACs {
		if m, err := net.ParseMAC(text); err != nil || len(m) != 6 {
			v.Add(fmt.Sprintf("trusted_macs[%d]", i), "%q is no MAC address such as 00:00:5e:00:53:01", text)
		}
	}
	v.Range("learn_minutes", c.LearnMinutes, 0, 7*24*60)
	v.Range("conflict_seconds", c.ConflictSeconds, 10, 3600)
	v.Range("spoofed_addresses", c.SpoofedAddresses, 2, 1000)
	v.Range("gratuitous_per_minute", c.GratuitousPerMinute, 10, 1_000_000)
	v.Range("window_seconds", c.WindowSeconds, 60, 7*24*3600)
	v.Range("max_per_minute", c.MaxPerMinute, 1, 10_000)
}
