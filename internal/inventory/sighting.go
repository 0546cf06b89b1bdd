package inventory

import (
	"encoding/hex"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// sighting is an observation, cleaned: addresses and names in one spelling, each once,
// and no more of them than a device may have.
type sighting struct {
	now            int64 // Unix seconds
	observer, site string
	in             *pb.DeviceInventory
	uid            string
	former         []string
	macs           []string
	telling        []string // of macs, those that can tell a device from others
	ips            []netip.Addr
	names          []string
	serial, engine string
	aliases        []string
	hostKeys       []string
	certificates   []string
	rank           int
	nameRank       int
	announced      bool // names are the device's own words
	listed         bool // addresses are a list by the device itself
	looked         Scanned
	whole, scanned bool
}

// Bounds of what is taken of one text.
const (
	maxText    = 512
	maxName    = 255 // RFC 1035, section 2.3.4
	maxAliases = 32
	maxUIDs    = 16
)

// sight cleans d; nil if it has nothing that tells one device from others.
func (b *Book) sight(now time.Time, observer string, d *pb.DeviceInventory) *sighting {
	at := now.Unix()
	if at < b.now {
		b.stats.ClockBack++
	}
	b.now = max(b.now, at)
	site, _, _ := strings.Cut(observer, "/")
	o := &sighting{
		now: at, observer: observer, site: site, in: d, uid: clean(d.GetUid()),
		serial: serialOf(d.GetSerialNumber()), engine: engineOf(d.GetEngineId()),
	}
	o.rank, o.nameRank, o.announced = rankOf(d.GetSources()), nameRankOf(d.GetSources()), announces(d.GetSources())
	o.listed = slices.Contains(d.GetSources(), "snmp") || len(d.GetIp()) > 8
	o.former = b.some(d.GetFormerUids(), maxUIDs, clean)
	o.macs = b.some(d.GetMac(), b.o.MaxAddresses, macOf)
	o.telling = slices.DeleteFunc(slices.Clone(o.macs), isVirtual)
	if global := slices.DeleteFunc(slices.Clone(o.telling), isLocal); len(global) > 0 {
		o.telling = global // bridges inside hosts have local ones, the same on many
	}
	o.aliases = b.some(d.GetAliases(), maxAliases, clean)
	o.names = b.some(append([]string{d.GetHostname()}, d.GetNames()...), b.o.MaxNames, nameOf)
	for _, text := range b.some(d.GetIp(), b.o.MaxAddresses, ipOf) {
		o.ips = append(o.ips, netip.MustParseAddr(text))
	}
	for _, p := range d.GetPorts() {
		if k := clean(p.GetHostKey()); k != "" && len(o.hostKeys) < maxAliases {
			o.hostKeys = append(o.hostKeys, k)
		}
		if k := clean(p.GetCertificateSha256()); k != "" && len(o.certificates) < maxAliases {
			o.certificates = append(o.certificates, k)
		}
	}
	if o.uid == "" && o.serial == "" && o.engine == "" && len(o.macs) == 0 && len(o.ips) == 0 && len(o.aliases) == 0 {
		return nil
	}
	return o
}

// some gives the different texts that remain after tidy, at most limit.
func (b *Book) some(texts []string, limit int, tidy func(string) string) []string {
	var out []string
	for _, text := range texts {
		text = tidy(text)
		if text == "" || slices.Contains(out, text) {
			continue
		}
		if len(out) >= limit {
			b.stats.Cut++
			break
		}
		out = append(out, text)
	}
	return out
}

// clean makes one line of valid UTF-8 of at most maxText bytes.
func clean(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > maxText {
		s = s[:maxText]
	}
	if utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "")))
}

// macOf spells a MAC address of one host in lower case with colons; empty for others.
func macOf(s string) string {
	if len(s) > 32 {
		return ""
	}
	mac, err := net.ParseMAC(s)
	if err != nil || len(mac) != 6 || mac[0]&1 != 0 || mac.String() == "00:00:00:00:00:00" {
		return ""
	}
	return mac.String()
}

// ipOf spells an address that one host can have; empty for others.
func ipOf(s string) string {
	if len(s) > 64 {
		return ""
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return ""
	}
	a = a.Unmap().WithZone("")
	if a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return ""
	}
	return a.String()
}

// nameOf tidies a host name; an address is none.
func nameOf(s string) string {
	s = strings.Trim(clean(s), ".")
	if len(s) > maxName {
		s = strings.ToValidUTF8(s[:maxName], "")
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return ""
	}
	return s
}

// shortName is the first label of a name in lower case.
func shortName(s string) string {
	s, _, _ = strings.Cut(s, ".")
	return strings.ToLower(s)
}

// serialOf gives a serial number, unless it is what makers write who gave none.
func serialOf(s string) string {
	if s = clean(s); s == "" {
		return ""
	}
	bare := strings.ToLower(strings.Map(func(r rune) rune {
		if strings.ContainsRune(" .-_", r) {
			return -1
		}
		return r
	}, s))
	if len(bare) < 4 || strings.Trim(bare, bare[:1]) == "" {
		return "" // "0", "xxxxxxxx", ""
	}
	for _, none := range []string{"unknown", "none", "tobefilled", "default", "notspecified", "notavailable", "systemserial", "123456", "0123456", "oem", "invalid", "null"} {
		if strings.HasPrefix(bare, none) {
			return ""
		}
	}
	return s
}

// engineOf gives an engine id in hexadecimal (RFC 3411, section 5: 5 to 32 octets),
// unless all of what its maker was free to choose is zero.
func engineOf(s string) string {
	id, err := hex.DecodeString(s)
	if err != nil || len(id) < 5 || len(id) > 32 || strings.Trim(hex.EncodeToString(id[4:]), "0") == "" {
		return ""
	}
	return hex.EncodeToString(id)
}

// isLocal reports whether a MAC address is locally administered (IEEE 802, bit 1 of the
// first octet), as randomised ones are.
func isLocal(mac string) bool {
	m, err := net.ParseMAC(mac)
	return err == nil && m[0]&2 != 0
}

// isVirtual reports whether routers or servers that stand in for each other share a MAC
// address: VRRP (RFC 9568, section 7.3), HSRP (RFC 2281; version 2), GLBP, and
// Microsoft's network load balancing.
func isVirtual(mac string) bool {
	for _, prefix := range []string{"00:00:5e:00:01:", "00:00:5e:00:02:", "00:00:0c:07:ac:", "00:00:0c:9f:f", "00:05:73:a0:0", "00:07:b4:00:", "02:bf:"} {
		if strings.HasPrefix(mac, prefix) {
			return true
		}
	}
	return false
}

// generic reports whether a name is one that many devices come with.
func generic(short string) bool {
	if len(short) < 3 {
		return true
	}
	return slices.Contains([]string{
		"(none)", "amazon", "android", "camera", "chromecast", "debian", "default", "desktop", "dietpi", "esp", "esp32",
		"esp8266", "espressif", "fedora", "galaxy", "gateway", "homeassistant", "host", "hostname", "ipad", "ipcam",
		"ipcamera", "iphone", "kali", "laptop", "linux", "localhost", "macbook", "macbook-air", "macbook-pro", "mac", "nas",
		"none", "openwrt", "printer", "raspberrypi", "router", "server", "switch", "ubuntu", "unknown", "user", "watch",
		"win10", "win11", "windows", "workgroup",
	}, short)
}
