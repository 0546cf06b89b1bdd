package devices

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Bounds on a filter.
const (
	maxFilter = 1024 // bytes
	maxTerms  = 32
)

// filter chooses devices; all of its terms have to hold.
type filter []term

// term is one condition; not turns it round.
type term struct {
	not  bool
	test func(*shown) bool
}

// shown is a device as a filter sees it.
type shown struct {
	d    *pb.DeviceInventory
	m    *beside
	up   bool
	now  time.Time
	text string // all of it in small letters
}

func (f filter) takes(s *shown) bool {
	for _, t := range f {
		if t.test(s) == t.not {
			return false
		}
	}
	return true
}

// parseFilter reads a filter: words, each of which has to be somewhere in a device, in any
// case; "a phrase"; KEY:VALUE for one fact alone; a minus before any of these for devices
// of which it does not hold. What has a colon and no key that is known is a word, as MAC
// and IPv6 addresses are, unless it looks like a key: then it is a fault, since no device
// would match and nobody see why. The error is for people.
func parseFilter(text string) (filter, error) {
	if len(text) > maxFilter {
		return nil, fmt.Errorf("the filter is longer than %d bytes", maxFilter)
	}
	words, err := splitWords(text)
	if err != nil {
		return nil, err
	}
	if len(words) > maxTerms {
		return nil, fmt.Errorf("the filter has more than %d words", maxTerms)
	}
	f := make(filter, 0, len(words))
	for _, w := range words {
		test, err := w.test()
		if err != nil {
			return nil, err
		}
		f = append(f, term{w.not, test})
	}
	return f, nil
}

// word is one part of a filter.
type word struct {
	not        bool
	key, value string // key is empty where it is a plain word
}

// keys are what can stand before a colon.
func keys() []string {
	return []string{"class", "vendor", "os", "service", "port", "subnet", "up", "plugged", "name", "ip", "mac", "host", "model", "findings"}
}

// saidKeys ask for what the hub keeps; tell.SplitFilter takes them out of a filter.
func saidKeys() []string { return []string{"known", "owner", "tag", "tags", "note"} }

// aliases are other names of keys: those under which events have the same facts.
func aliases() map[string]string {
	return map[string]string{
		"mac_address": "mac", "hostname": "name", "os_type": "os", "open_ports": "port", "services": "service",
		"type": "class", "device_class": "class", "os_name": "os", "address": "ip",
	}
}

// keyOf is the key that a text begins with, and how long that is with its colon; 0 where
// it begins with none. An error names what looks like a key and is none.
func keyOf(text string) (key string, length int, err error) {
	n := 0
	for n < len(text) && (text[n]|0x20 >= 'a' && text[n]|0x20 <= 'z' || text[n] == '_' || text[n] == '.') {
		n++
	}
	if n == 0 || n >= len(text) || text[n] != ':' && text[n] != '=' {
		return "", 0, nil
	}
	name := strings.TrimPrefix(strings.ToLower(text[:n]), "device.")
	if alias, ok := aliases()[name]; ok {
		name = alias
	}
	isKey := slices.Contains(keys(), name)
	switch {
	case slices.Contains(saidKeys(), name) && text[n] == ':':
		return "", 0, fmt.Errorf("%.40s: asks what people say of devices, which the hub knows: ask by `amoskys devices` or a dashboard", text[:n])
	case isKey && text[n] == ':':
		return name, n + 1, nil
	case isKey:
		return "", 0, fmt.Errorf("%.40s= is no filter: write %s:VALUE", text[:n], name)
	case text[n] == '=' || strings.HasPrefix(text[n+1:], ":") || strings.HasPrefix(text[n+1:], "//") || isHex(name):
		return "", 0, nil // an IPv6 or MAC address, or a word of a title
	}
	return "", 0, fmt.Errorf("%.40s: is no fact of devices; there are %s; what is meant as a word stands in quotes", text[:n], strings.Join(slices.Concat(keys(), []string{"known", "owner", "tag", "note"}), ", "))
}

// isHex reports a text that may be the first part of a MAC or IPv6 address.
func isHex(text string) bool {
	return len(text) <= 4 && strings.Trim(text, "abcdef") == ""
}

var errQuote = errors.New(`the filter has a " without its second`)

// splitWords splits at blanks outside of quotes.
func splitWords(text string) ([]word, error) {
	var words []word
	for {
		text = strings.TrimLeft(text, " \t\r\n")
		if text == "" {
			return words, nil
		}
		var w word
		if rest, ok := strings.CutPrefix(text, "-"); ok && rest != "" && rest[0] != ' ' {
			w.not, text = true, rest
		}
		key, n, err := keyOf(text)
		if err != nil {
			return nil, err
		}
		w.key, text = key, text[n:]
		if rest, ok := strings.CutPrefix(text, `"`); ok {
			value, rest, closed := strings.Cut(rest, `"`)
			if !closed {
				return nil, errQuote
			}
			w.value, text = value, rest
		} else {
			end := strings.IndexAny(text, " \t\r\n")
			if end < 0 {
				end = len(text)
			}
			w.value, text = text[:end], text[end:]
		}
		if w.value == "" && w.key != "" {
			return nil, fmt.Errorf("the filter has nothing behind its %s", w.key)
		}
		if w.value != "" {
			words = append(words, w)
		}
	}
}

// test makes the condition of a word.
func (w *word) test() (func(*shown) bool, error) {
	value := strings.ToLower(w.value)
	switch w.key {
	case "class":
		return func(s *shown) bool { return strings.EqualFold(s.d.GetDeviceClass(), value) }, nil
	case "vendor":
		return func(s *shown) bool { return within(value, s.d.GetVendor()) }, nil
	case "model":
		return func(s *shown) bool { return within(value, s.d.GetModel()) }, nil
	case "os":
		return func(s *shown) bool { return within(value, s.d.GetOsName()+" "+s.d.GetOsVersion()) }, nil
	case "name":
		return func(s *shown) bool { return within(value, s.d.GetHostname()) || within(value, s.d.GetNames()...) }, nil
	case "host":
		return func(s *shown) bool { return within(value, s.m.host) }, nil
	case "service":
		return func(s *shown) bool { return hasService(s.d, value) }, nil
	case "plugged":
		return func(s *shown) bool { return isPlugged(s.d, value) }, nil
	case "up":
		return yesOrNo(w, func(s *shown) bool { return s.up })
	case "findings":
		return yesOrNo(w, func(s *shown) bool { return s.m.found.count(s.now) > 0 })
	case "port":
		return w.port()
	case "subnet", "ip":
		return w.network()
	case "mac":
		return func(s *shown) bool { return within(plainMAC(value), s.d.GetMac()...) }, nil
	}
	plain := plainMAC(value)
	return func(s *shown) bool { return strings.Contains(s.text, value) || strings.Contains(s.text, plain) }, nil
}

// within reports whether a text in small letters is part of one of the others.
func within(value string, texts ...string) bool {
	for _, t := range texts {
		if strings.Contains(strings.ToLower(t), value) {
			return true
		}
	}
	return false
}

// plainMAC is a MAC address as we write it, however it was typed; other text as it is.
func plainMAC(text string) string {
	if mac, err := net.ParseMAC(text); err == nil {
		return mac.String()
	}
	return text
}

func hasService(d *pb.DeviceInventory, value string) bool {
	for _, p := range d.GetPorts() {
		if within(value, p.GetService(), p.GetProduct()) {
			return true
		}
	}
	return false
}

func isPlugged(d *pb.DeviceInventory, value string) bool {
	for _, p := range d.GetPlugged() {
		if p.GetUntilTime() == nil && within(value, p.GetDeviceName(), p.GetDeviceIp(), p.GetDeviceUid(), p.GetPort()) {
			return true
		}
	}
	return false
}

func yesOrNo(w *word, is func(*shown) bool) (func(*shown) bool, error) {
	want, err := strconv.ParseBool(strings.ToLower(w.value))
	switch strings.ToLower(w.value) {
	case "yes":
		want, err = true, nil
	case "no":
		want, err = false, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s:%.40s is neither %[1]s:true nor %[1]s:false", w.key, w.value)
	}
	return func(s *shown) bool { return is(s) == want }, nil
}

// port reads 22, 22/tcp and 1-1024.
func (w *word) port() (func(*shown) bool, error) {
	numbers, protocol, _ := strings.Cut(strings.ToLower(w.value), "/")
	low, high, isRange := strings.Cut(numbers, "-")
	if !isRange {
		high = low
	}
	from, err := strconv.ParseUint(low, 10, 16)
	to, err2 := strconv.ParseUint(high, 10, 16)
	if err != nil || err2 != nil || from > to || protocol != "" && protocol != "tcp" && protocol != "udp" {
		return nil, fmt.Errorf("port:%.40s is no port: write port:22, port:53/udp or port:1-1024", w.value)
	}
	return func(s *shown) bool {
		for _, p := range s.d.GetPorts() {
			if n := uint64(p.GetPort()); n >= from && n <= to && (protocol == "" || protocol == p.GetProtocol()) {
				return true
			}
		}
		return false
	}, nil
}

// network reads a prefix, or an address.
func (w *word) network() (func(*shown) bool, error) {
	prefix, err := netip.ParsePrefix(w.value)
	if err != nil {
		ip, err := netip.ParseAddr(w.value)
		if err != nil {
			return nil, fmt.Errorf("%s:%.60s is no network: write %[1]s:10.0.0.0/24", w.key, w.value)
		}
		prefix = netip.PrefixFrom(ip.Unmap().WithZone(""), ip.Unmap().BitLen())
	}
	return func(s *shown) bool {
		for _, text := range s.d.GetIp() {
			if ip, err := netip.ParseAddr(text); err == nil && prefix.Contains(ip.Unmap().WithZone("")) {
				return true
			}
		}
		return false
	}, nil
}

// textOf is what plain words are looked for in, in small letters.
func textOf(d *pb.DeviceInventory, m *beside) string {
	var b strings.Builder
	add := func(texts ...string) {
		for _, t := range texts {
			if t != "" && b.Len() < maxSearched {
				b.WriteString(t)
				b.WriteByte('\n')
			}
		}
	}
	add(d.GetHostname())
	add(d.GetNames()...)
	add(d.GetIp()...)
	add(d.GetMac()...)
	add(d.GetVendor(), d.GetModel(), d.GetOsName()+" "+d.GetOsVersion(), d.GetDeviceClass(), d.GetSerialNumber(), d.GetUid(), d.GetSubnet(), m.host)
	for _, p := range d.GetPorts() {
		add(p.GetService(), p.GetProduct()+" "+p.GetVersion(), p.GetTitle())
	}
	for _, p := range d.GetPlugged() {
		if p.GetUntilTime() == nil {
			add(p.GetDeviceName(), p.GetPort())
		}
	}
	add(d.GetAliases()...)
	return strings.ToLower(b.String())
}

// maxSearched bounds the text of one device, in bytes.
const maxSearched = 8 << 10
