// Package entity owns the names of the things that events are about: hosts,
// processes, users, files, flows, devices, addresses, interfaces and certificates.
// Agents make names by it, readers of the log and pages find them in events by it,
// so that a finding leads to the process, its flow, its device and its switch port.
//
// A Key names one thing for good. Of lists the things of an event and the part
// each plays; Links says how they hang together. What two events say of one thing
// has one Key:
//
//	host         the name in its certificate, in its one form (see package hostname)
//	process      Process.uid, which ProcessUID makes
//	user         HOST/NAME, HOST/UID where it has no name, or its SID alone
//	file         HOST and the path, which begins with a slash on POSIX
//	flow         the Community ID (v1): both directions, whoever saw it
//	device       the uid that DeviceUID makes
//	address      an IP address without zone, IPv4 also where it came mapped, or a MAC
//	interface    DEVICE/IFINDEX (RFC 2863), such as a port of a switch
//	certificate  SHA-256 of its DER form, in hexadecimal
package entity

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/amoskys/amoskys/internal/identity/hostname"
)

// Kind is what sort of thing a Key names.
type Kind string

// The kinds. Their strings stand in links and must not change.
const (
	KindHost        Kind = "host"
	KindProcess     Kind = "process"
	KindUser        Kind = "user"
	KindFile        Kind = "file"
	KindFlow        Kind = "flow"
	KindDevice      Kind = "device"
	KindAddress     Kind = "address"
	KindInterface   Kind = "interface"
	KindCertificate Kind = "certificate"
)

// Kinds returns every kind, in the order of their documentation.
func Kinds() []Kind {
	return []Kind{
		KindHost, KindProcess, KindUser, KindFile, KindFlow, KindDevice, KindAddress, KindInterface, KindCertificate,
	}
}

// maxID bounds an ID, in bytes; a path may have 4,096.
const maxID = 4_400

// Key names one thing. Keys are comparable. The zero Key names nothing.
type Key struct {
	Kind Kind
	ID   string
}

// String returns KIND:ID.
func (k Key) String() string { return string(k.Kind) + ":" + k.ID }

// IsZero reports whether k names nothing.
func (k Key) IsZero() bool { return k == Key{} }

// ParseKey reads what String returns.
func ParseKey(s string) (Key, error) {
	kind, id, ok := strings.Cut(s, ":")
	k := Key{Kind(kind), id}
	switch {
	case !ok:
		return Key{}, fmt.Errorf("entity %.64q: want KIND:ID", s)
	case !slices.Contains(Kinds(), k.Kind):
		return Key{}, fmt.Errorf("entity %.64q: there is no kind %.32q", s, kind)
	case id == "" || len(id) > maxID || !utf8.ValidString(id):
		return Key{}, fmt.Errorf("entity %.64q: an id has 1 to %d bytes of UTF-8", s, maxID)
	}
	if k.Kind == KindAddress && Address(id) != k {
		return Key{}, fmt.Errorf("entity %.64q: not an address in its usual form", s)
	}
	return k, nil
}

func keyOf(kind Kind, id string) Key {
	if id == "" || len(id) > maxID || !utf8.ValidString(id) {
		return Key{}
	}
	return Key{kind, id}
}

// Host names a host by the name in its certificate.
func Host(name string) Key { return keyOf(KindHost, hostname.Normal(name)) }

// Process names a process by its uid.
func Process(uid string) Key { return keyOf(KindProcess, uid) }

// User names an account. Accounts are those of their host, but for a Windows SID
// (uid "S-1-…"), which is unique by itself. Zero without a name and a uid.
func User(host, name, uid string) Key {
	if strings.HasPrefix(uid, "S-1-") {
		return keyOf(KindUser, uid)
	}
	who := name
	if who == "" {
		who = uid
	}
	if host = hostname.Normal(host); who == "" || host == "" {
		return Key{}
	}
	return keyOf(KindUser, host+"/"+who)
}

// File names a file of a host by its absolute path.
func File(host, path string) Key {
	if host = hostname.Normal(host); host == "" || path == "" {
		return Key{}
	}
	if path[0] != '/' {
		path = "/" + path // C:\… of Windows
	}
	return keyOf(KindFile, host+path)
}

// Flow names a flow by its Community ID. The id names the two endpoints and the
// protocol: the same endpoints may meet again at another time.
func Flow(communityID string) Key { return keyOf(KindFlow, communityID) }

// Device names a device by its uid.
func Device(uid string) Key { return keyOf(KindDevice, uid) }

// Address names an IP or MAC address; zero for other text.
func Address(text string) Key {
	if ip, err := netip.ParseAddr(text); err == nil {
		return Key{KindAddress, ip.Unmap().WithZone("").String()}
	}
	if mac, err := net.ParseMAC(text); err == nil {
		return Key{KindAddress, mac.String()}
	}
	return Key{}
}

// Interface names an interface of a device by its ifIndex.
func Interface(device string, index uint64) Key {
	if device == "" {
		return Key{}
	}
	return keyOf(KindInterface, fmt.Sprintf("%s/%d", device, index))
}

// Certificate names a certificate by the SHA-256 of its DER form in hexadecimal.
func Certificate(sha256 string) Key { return keyOf(KindCertificate, strings.ToLower(sha256)) }
