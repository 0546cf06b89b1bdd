package inventory

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/entity"
)

// What the keys of the index begin with.
const (
	keyUID         = "u:"
	keySerial      = "s:"
	keyEngine      = "e:"
	keyAlias       = "a:"
	keyHostKey     = "k:"
	keyCertificate = "c:"
	keyMAC         = "m:"
	keyIP          = "i:"
	keyName        = "n:" // the first label
	keyWholeName   = "f:"
)

// serialKey is the key of a serial number. The vendor is not part of it, as makers write
// themselves in many ways.
func serialKey(serial string) string { return keySerial + strings.ToLower(serial) }

// addressKey is the key of an address: global ones are the same everywhere, others belong
// to the surroundings of an observer.
func addressKey(site string, ip netip.Addr) string {
	if ip.IsGlobalUnicast() && !ip.IsPrivate() && !sharedSpace.Contains(ip) {
		site = ""
	}
	return keyIP + ip.String() + "/" + site
}

// sharedSpace is for carriers (RFC 6598) and used as private space is.
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10") //nolint:gochecknoglobals // constant

// keysOf gives what names a device, sorted.
func keysOf(r *record) []string {
	d := r.d
	keys := []string{keyUID + d.GetUid()}
	for _, uid := range d.GetFormerUids() {
		keys = append(keys, keyUID+uid)
	}
	for _, t := range r.Told {
		if t.UID != "" {
			keys = append(keys, keyUID+t.UID)
		}
	}
	if s := d.GetSerialNumber(); s != "" {
		keys = append(keys, serialKey(s))
	}
	if e := d.GetEngineId(); e != "" {
		keys = append(keys, keyEngine+e)
	}
	for _, a := range d.GetAliases() {
		keys = append(keys, keyAlias+a)
	}
	for _, p := range d.GetPorts() {
		if k := p.GetHostKey(); k != "" {
			keys = append(keys, keyHostKey+k)
		}
		if k := p.GetCertificateSha256(); k != "" {
			keys = append(keys, keyCertificate+k)
		}
	}
	for _, m := range d.GetMac() {
		keys = append(keys, keyMAC+m)
	}
	for _, h := range r.Held {
		if ip, err := netip.ParseAddr(h.IP); err == nil {
			keys = append(keys, addressKey(h.Site, ip), keyIP+h.IP)
		}
	}
	for _, n := range r.Names {
		keys = append(keys, keyName+shortName(n.Text), keyWholeName+strings.ToLower(n.Text))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// index brings the keys of a record up to date.
func (b *Book) index(r *record) {
	keys := keysOf(r)
	if slices.Equal(keys, r.keys) {
		return
	}
	for _, k := range r.keys {
		if _, still := slices.BinarySearch(keys, k); !still {
			b.dropKey(k, r)
		}
	}
	for _, k := range keys {
		if _, was := slices.BinarySearch(r.keys, k); !was {
			b.keys[k] = append(b.keys[k], r)
		}
	}
	r.keys = keys
}

func (b *Book) dropKey(k string, r *record) {
	left := slices.DeleteFunc(b.keys[k], func(c *record) bool { return c == r })
	if len(left) == 0 {
		delete(b.keys, k)
		return
	}
	b.keys[k] = left
}

// find gives the devices that text names.
func (b *Book) find(text string) []*record {
	text = clean(text)
	var found []*record
	for _, key := range b.spellings(text) {
		for _, r := range b.keys[key] {
			if !slices.Contains(found, r) {
				found = append(found, r)
			}
		}
	}
	return found
}

// spellings are the keys that text may stand for.
func (b *Book) spellings(text string) []string {
	lower := strings.ToLower(strings.Trim(text, "."))
	keys := []string{keyUID + text, keyUID + lower, serialKey(text), keyWholeName + lower}
	if !strings.Contains(lower, ".") {
		keys = append(keys, keyName+lower)
	}
	if ip := ipOf(text); ip != "" {
		keys = append(keys, keyIP+ip)
	}
	mac := macOf(text)
	if mac == "" && len(text) == 12 { // without separators
		var parts []string
		for i := 0; i < 12; i += 2 {
			parts = append(parts, lower[i:min(i+2, len(lower))])
		}
		mac = macOf(strings.Join(parts, ":"))
	}
	if mac != "" {
		keys = append(keys, keyMAC+mac)
	}
	return keys
}

// strength orders the kinds of facts that uids are made of.
func strength(uid string) int {
	kind, rest, _ := strings.Cut(uid, "-")
	switch {
	case kind == "sn":
		return 5
	case kind == "engine":
		return 4
	case kind == "mac" && !isLocal(colons(rest)):
		return 3
	case kind == "mac":
		return 2
	case kind == "ip":
		return 1
	}
	return 0
}

// colons spells the hexadecimal digits of a uid as a MAC address.
func colons(digits string) string {
	if len(digits) != 12 {
		return ""
	}
	return digits[:2] + ":" + digits[2:4] + ":" + digits[4:6] + ":" + digits[6:8] + ":" + digits[8:10] + ":" + digits[10:]
}

// settle gives the record the uid of its strongest kind of fact.
func (b *Book) settle(r *record) {
	uid := b.uidOf(r)
	if uid == "" && r.d.GetUid() == "" {
		uid = b.madeUp(r)
	}
	old := r.d.GetUid()
	if uid == "" || uid == old || old != "" && strength(uid) <= strength(old) {
		return
	}
	if old != "" {
		r.d.FormerUids = trimmed(append([]string{old}, without(r.d.GetFormerUids(), uid, old)...), maxUIDs)
	}
	r.d.Uid = uid
}

// uidOf makes the uid of what is known; one that another device has gives way to one of
// a weaker fact.
func (b *Book) uidOf(r *record) string {
	d := r.d
	f := entity.DeviceFacts{EngineID: d.GetEngineId(), Vendor: d.GetVendor(), Serial: d.GetSerialNumber()}
	for _, m := range d.GetMac() {
		if _, several := b.shared[m]; !isVirtual(m) && !several {
			f.MACs = append(f.MACs, m)
		}
	}
	if len(r.Held) > 0 {
		f.IP, f.Scope = r.Held[0].IP, r.Held[0].Site
		if ip, err := netip.ParseAddr(f.IP); err == nil && addressKey("", ip) == addressKey("x", ip) {
			f.Scope = ""
		}
	}
	weaker := []func(){
		func() {}, func() { f.Serial = "" }, func() { f.EngineID = "" },
		func() {
			if len(d.GetMac()) > 0 {
				f.MACs = nil
			}
		},
	}
	for _, weaken := range weaker {
		weaken()
		uid := entity.DeviceUID(f)
		if uid != "" && !b.taken(uid, r) {
			return uid
		}
	}
	return ""
}

// madeUp is the uid of a device that has nothing but what others have too.
func (b *Book) madeUp(r *record) string {
	h := sha256.New()
	for _, k := range keysOf(r) {
		h.Write([]byte(k + "\n"))
	}
	uid := "id-" + hex.EncodeToString(h.Sum(nil)[:12])
	for n := 2; b.taken(uid, r); n++ {
		uid = fmt.Sprintf("id-%s-%d", hex.EncodeToString(h.Sum(nil)[:12]), n)
	}
	return uid
}

func (b *Book) taken(uid string, by *record) bool {
	return slices.ContainsFunc(b.keys[keyUID+uid], func(r *record) bool { return r != by && r.d.GetUid() == uid })
}

func without(list []string, texts ...string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(texts, s) })
}

func trimmed(list []string, limit int) []string { return list[:min(len(list), limit)] }
