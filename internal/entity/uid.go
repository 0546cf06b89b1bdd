package entity

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// ProcessUID makes Process.uid: pids are reused, but not with the same start time,
// in clock ticks since boot, on the same boot of the same host. 32 hexadecimal
// digits.
func ProcessUID(hostID, bootID string, pid, start uint64) string {
	b := make([]byte, 0, 128)
	b = append(append(append(append(b, hostID...), 0), bootID...), 0)
	b = binary.LittleEndian.AppendUint64(b, pid)
	b = binary.LittleEndian.AppendUint64(b, start)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// DeviceFacts are what an observer knows of a device that tells it from others.
type DeviceFacts struct {
	// EngineID is the SNMP engine's, in hexadecimal (RFC 3411, section 5).
	EngineID string
	// Serial is the number on its chassis (ENTITY-MIB), Vendor who gave it.
	Vendor, Serial string
	MACs           []string
	IP             string
	// Scope is the network in which IP is unique, such as a site or a subnet.
	Scope string
}

// DeviceUID makes the uid of a device from the strongest fact about it, so that
// two observers who know the same fact agree: serial number, SNMP engine, the
// lowest universally administered MAC address (IEEE 802, bit 1 of the first octet
// is 0), any MAC address, then the IP address within its scope. Empty without any.
// Where two observers know different facts, addresses join what they say: see
// Links.
func DeviceUID(f DeviceFacts) string {
	if f.Serial != "" {
		return "sn-" + slug(f.Vendor) + "-" + slug(f.Serial)
	}
	if id, err := hex.DecodeString(f.EngineID); err == nil && len(id) >= 5 { // RFC 3411: 5 to 32 octets
		return "engine-" + hex.EncodeToString(id)
	}
	if mac := strongestMAC(f.MACs); mac != nil {
		return "mac-" + hex.EncodeToString(mac)
	}
	if ip, err := netip.ParseAddr(f.IP); err == nil {
		uid := "ip-" + ip.Unmap().WithZone("").String()
		if f.Scope != "" {
			uid += "-" + slug(f.Scope)
		}
		return uid
	}
	return ""
}

func strongestMAC(texts []string) net.HardwareAddr {
	var macs []net.HardwareAddr
	for _, text := range texts {
		// All zeros and group addresses are nobody's own.
		if mac, err := net.ParseMAC(text); err == nil && mac[0]&1 == 0 && strings.Trim(mac.String(), "0:") != "" {
			macs = append(macs, mac)
		}
	}
	slices.SortFunc(macs, func(a, b net.HardwareAddr) int {
		if local := int(a[0]&2) - int(b[0]&2); local != 0 {
			return local
		}
		return slices.Compare(a, b)
	})
	if len(macs) == 0 {
		return nil
	}
	return macs[0]
}

// slug makes text fit for a part of a uid: lower case, other signs than letters,
// digits and dots become one dash.
func slug(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	}), "-")
}
