package snmp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/config"
)

// Words of the configuration; the first of each is what other words for it mean.
func authProtocols() []string {
	return []string{"", "MD5", "SHA", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512"}
}

func privacyProtocols() []string {
	return []string{"", "DES", "AES", "AES128", "AES192", "AES256", "AES192C", "AES256C"}
}

// Bounds of lists: every device is tried with every credential.
const (
	maxCredentials = 32
	maxTargets     = 10_000
	maxNetworks    = 256
)

func (s *SNMP) validate(v *config.Check) {
	v.OneOf("version", s.Version, "1", "2c", "3")
	v.Range("the length of communities", len(s.Communities), 0, maxCredentials)
	for i, c := range s.Communities {
		v.NotEmpty(fmt.Sprintf("communities[%d]", i), string(c))
	}
	v.Range("port", s.Port, 1, 65535)
	s.V3Credentials.validate(v.Under("v3_credentials"))
	v.Range("the length of credentials", len(s.Credentials), 0, maxCredentials)
	for i := range s.Credentials {
		at := v.Under(fmt.Sprintf("credentials[%d]", i))
		at.NotEmpty("username", s.Credentials[i].Username)
		s.Credentials[i].validate(at)
	}
	if s.Version == "3" && s.V3Credentials.Username == "" && len(s.Credentials) == 0 {
		v.Add("v3_credentials.username", "must not be empty with version \"3\"")
	}
	checkNetworks(v, "exclude", s.Exclude)
	v.Range("the length of targets", len(s.Targets), 0, maxTargets)
	for i, t := range s.Targets {
		if _, _, err := splitTarget(t, s.Port); err != nil {
			v.Add(fmt.Sprintf("targets[%d]", i), "%s", err)
		}
	}
}

func (c *V3Credentials) validate(v *config.Check) {
	if c.Username == "" {
		return
	}
	v.OneOf("auth_protocol", c.AuthProtocol, authProtocols()...)
	v.OneOf("privacy_protocol", c.PrivacyProtocol, privacyProtocols()...)
	if c.PrivacyPassword != "" && c.AuthPassword == "" {
		v.Add("auth_password", "must not be empty where privacy_password is set: what is encrypted is authenticated too (RFC 3414, section 1.4)")
	}
	for _, of := range []struct {
		key, protocol string
		password      config.Secret
	}{{"auth_protocol", c.AuthProtocol, c.AuthPassword}, {"privacy_protocol", c.PrivacyProtocol, c.PrivacyPassword}} {
		if of.password != "" && of.protocol == "" { // else it would not be used, and nobody told
			v.Add(of.key, "must not be empty where its password is set: without it messages would go out unproven or in the clear")
		}
	}
	if len(c.Username) > 32 {
		v.Add("username", "has more than 32 bytes (RFC 3414, section 5)")
	}
	for key, s := range map[string]config.Secret{"auth_password": c.AuthPassword, "privacy_password": c.PrivacyPassword} {
		if s != "" && !isReference(s) && len(s) < 8 {
			v.Add(key, "must have 8 characters or more (RFC 3414, section 11.2)")
		}
	}
}

func isReference(s config.Secret) bool {
	return strings.HasPrefix(string(s), "file:") || strings.HasPrefix(string(s), "env:")
}

// splitTarget reads host or host:port. The host may be a name.
func splitTarget(text string, port int) (host string, at uint16, err error) {
	host = strings.Trim(text, "[]")
	if _, addrErr := netip.ParseAddr(host); addrErr != nil && strings.Contains(text, ":") {
		var word string
		if host, word, err = net.SplitHostPort(text); err != nil {
			return "", 0, fmt.Errorf("%q is neither a host nor host:port, such as 192.0.2.1 or 192.0.2.1:161", text)
		}
		if port, err = strconv.Atoi(word); err != nil || port < 1 || port > 65535 {
			return "", 0, fmt.Errorf("%q is no port: use a number from 1 to 65535", word)
		}
	}
	check := config.NewCheck()
	check.Host("host", host)
	if faults := check.Faults(); len(faults) > 0 {
		return "", 0, errors.New(faults[0].Message)
	}
	return host, uint16(port), nil
}

// addresses are those of the networks that may be asked, in order, each once: neither the
// network's nor its broadcast address, none that is excluded. More than most are refused,
// so that a /8 by mistake costs nothing.
func addresses(networks, exclude []string, most int) ([]netip.Addr, error) {
	var without []netip.Prefix
	for _, text := range exclude {
		if p, err := config.ParseNetwork(text); err == nil { // else Validate says so
			without = append(without, p)
		}
	}
	var all []netip.Prefix
	total := 0.0
	for _, text := range networks {
		p, err := config.ParseNetwork(text)
		if err != nil {
			return nil, fmt.Errorf("%q is neither a network nor an address, such as 192.168.1.0/24", text)
		}
		size := pow2(p.Addr().BitLen() - p.Bits())
		if total += size; total > float64(most) {
			return nil, fmt.Errorf("%s makes it more than %d addresses (it alone has %s): name smaller networks, or the devices in snmp.targets; discovery.max_addresses is the bound",
				text, most, strconv.FormatFloat(size, 'f', 0, 64))
		}
		all = append(all, p)
	}
	var out []netip.Addr
	seen := map[netip.Addr]bool{}
	for _, p := range all {
		last := lastOf(p)
		for a := p.Addr(); a.IsValid() && p.Contains(a); a = a.Next() {
			edge := p.Addr().Is4() && p.Bits() < 31 && (a == p.Addr() || a == last)
			if !edge && !seen[a] && !slices.ContainsFunc(without, func(e netip.Prefix) bool { return e.Contains(a) }) {
				seen[a] = true
				out = append(out, a)
			}
		}
	}
	return out, nil
}

func pow2(n int) float64 {
	x := 1.0
	for range n {
		x *= 2
	}
	return x
}

// lastOf is the last address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func checkNetworks(v *config.Check, key string, list []string) {
	v.Range("the length of "+key, len(list), 0, maxNetworks)
	for i, text := range list {
		if _, err := config.ParseNetwork(text); err != nil {
			v.Add(fmt.Sprintf("%s[%d]", key, i), "%q is neither an address nor a network, such as 192.0.2.1 or 192.0.2.0/28", text)
		}
	}
}

func checkListen(v *config.Check, key, address string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		v.Add(key, "%q is not host:port, such as :1162, or 192.0.2.9:1162 for one address of this host", address)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		v.Add(key, "%q is no port: use a number from 0 to 65535", port)
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil {
		v.Add(key, "%q is not an IP address of this host; leave it out to listen on all", host)
	}
}
