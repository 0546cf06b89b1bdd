package hear

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/amoskys/amoskys/internal/flow/packet"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// maxRecords is how many records of one message are read.
const maxRecords = 128

// readMDNS reads what a host announces of itself (RFC 6762, RFC 6763): its names and
// addresses, what it offers, and what models and ids it gives with that.
func readMDNS(src mac, p *packet.Packet) (*pb.DeviceInventory, bool) {
	var parser dnsmessage.Parser
	h, err := parser.Start(p.Payload)
	if err != nil {
		return nil, false
	}
	if !h.Response {
		return nil, true
	}
	if parser.SkipAllQuestions() != nil {
		return nil, false
	}
	a := announcement{d: &pb.DeviceInventory{Sources: []string{"mdns"}}}
	n := 0
	for _, next := range []func() (dnsmessage.Resource, error){parser.Answer, parser.Authority, parser.Additional} {
		for ; n < maxRecords; n++ {
			r, err := next()
			if err == dnsmessage.ErrSectionDone { //nolint:errorlint // as the package says
				break
			}
			if err != nil {
				return nil, false
			}
			a.note(&r)
		}
	}
	return a.told(src, p.Src.IP()), true
}

// announcement gathers the records of one message.
type announcement struct {
	d         *pb.DeviceInventory
	addresses []netip.Addr
	services  []string
}

func (a *announcement) note(r *dnsmessage.Resource) {
	name := strings.TrimSuffix(r.Header.Name.String(), ".")
	if r.Header.TTL == 0 {
		return // a farewell (RFC 6762, section 10.1)
	}
	switch body := r.Body.(type) {
	case *dnsmessage.AResource:
		a.host(name, netip.AddrFrom4(body.A))
	case *dnsmessage.AAAAResource:
		a.host(name, netip.AddrFrom16(body.AAAA))
	case *dnsmessage.PTRResource:
		if kind := serviceOf(name); kind != "" && name == kind+".local" {
			a.service(kind)
		}
	case *dnsmessage.SRVResource:
		if kind := serviceOf(name); kind != "" {
			a.service(kind)
		}
	case *dnsmessage.TXTResource:
		for _, text := range body.TXT[:min(len(body.TXT), 64)] {
			key, value, _ := strings.Cut(text, "=")
			a.text(serviceOf(name), strings.ToLower(key), plain([]byte(value)))
		}
	}
}

func (a *announcement) host(name string, addr netip.Addr) {
	if text := plain([]byte(name)); strings.HasSuffix(text, ".local") && !slices.Contains(a.d.GetNames(), text) && len(a.d.GetNames()) < 8 {
		a.d.Names = append(a.d.Names, text)
	}
	if usable(addr) && !slices.Contains(a.addresses, addr) && len(a.addresses) < 16 {
		a.addresses = append(a.addresses, addr)
	}
}

// serviceOf is the kind of service in a name, such as "_ipp._tcp" (RFC 6763, section 7).
func serviceOf(name string) string {
	labels := strings.Split(name, ".")
	for i := len(labels) - 1; i > 0; i-- {
		if l := labels[i]; (l == "_tcp" || l == "_udp") && strings.HasPrefix(labels[i-1], "_") {
			return strings.ToLower(labels[i-1] + "." + l)
		}
	}
	return ""
}

// service notes that a service is offered.
func (a *announcement) service(kind string) {
	kind = plain([]byte(kind))
	if slices.Contains(a.services, kind) || len(a.services) >= 16 || kind == "_services._dns-sd._udp" {
		return
	}
	a.services = append(a.services, kind)
	if class, sure := serviceClass(kind); sure > a.d.GetConfidence() {
		a.d.DeviceClass, a.d.Confidence = class, sure
	}
}

// serviceClass is the class of devices that offer a service, and how sure that is.
func serviceClass(kind string) (class string, sure float64) {
	switch kind {
	case "_ipp._tcp", "_ipps._tcp", "_printer._tcp", "_pdl-datastream._tcp":
		return "printer", 0.8
	case "_axis-video._tcp", "_camera._tcp":
		return "camera", 0.8
	case "_adisk._tcp", "_nvstream_dbd._tcp":
		return "storage", 0.5
	case "_hap._tcp", "_matter._tcp", "_matterc._udp", "_esphomelib._tcp", "_shelly._tcp", "_hue._tcp", "_googlecast._tcp", "_amzn-wplay._tcp":
		return "iot", 0.6
	case "_workstation._tcp", "_companion-link._tcp":
		return "workstation", 0.3
	}
	return "", 0
}

// text notes what a TXT record says (RFC 6763, section 6).
func (a *announcement) text(kind, key, value string) {
	if value == "" || kind == "" {
		return
	}
	d := a.d
	alias := func(id string) {
		if len(id) >= 8 && len(d.GetAliases()) < 8 {
			d.Aliases = append(d.Aliases, "mdns:"+strings.ToLower(id))
		}
	}
	switch key {
	case "model", "md", "ty", "usb_mdl":
		if d.GetModel() == "" {
			d.Model = value
		}
	case "manufacturer", "usb_mfg", "vendor":
		d.Vendor = value
	case "deviceid", "uuid", "serialnumber":
		alias(value)
	case "id":
		if kind == "_hap._tcp" || kind == "_googlecast._tcp" {
			alias(value)
		}
	case "osxvers":
		d.OsName = "macOS"
	}
}

// told gives what the message says. Only a host that names its own address says that the
// frame is its own: others pass on what hosts elsewhere announced.
func (a *announcement) told(src mac, from netip.Addr) *pb.DeviceInventory {
	d := a.d
	for _, addr := range a.addresses {
		d.Ip = append(d.Ip, addr.String())
	}
	own := slices.Contains(a.addresses, from)
	if len(a.addresses) == 0 && usable(from) {
		d.Ip, own = []string{from.String()}, true
	}
	if own {
		d.Mac = []string{macText(src)}
	}
	if len(a.services) > 0 {
		d.Evidence = []string{"announces by mDNS " + strings.Join(a.services, ", ")}
	}
	if len(d.GetNames()) == 0 && len(a.services) == 0 && len(d.GetAliases()) == 0 && d.GetModel() == "" {
		return nil
	}
	return d
}

// readSSDP reads what a device announces by UPnP (UPnP Device Architecture 2.0, section
// 1): its id, its kind and what it runs.
func readSSDP(src mac, p *packet.Packet) (*pb.DeviceInventory, bool) {
	b := p.Payload[:min(len(p.Payload), 4096)]
	lines := strings.Split(string(b), "\n")
	first := strings.TrimSpace(lines[0])
	switch {
	case strings.HasPrefix(first, "M-SEARCH "):
		return nil, true // a question
	case strings.HasPrefix(first, "NOTIFY * HTTP/1."), strings.HasPrefix(first, "HTTP/1.") && strings.Contains(first, " 200"):
	default:
		return nil, false
	}
	if !usable(p.Src.IP()) {
		return nil, true
	}
	d := &pb.DeviceInventory{Mac: []string{macText(src)}, Ip: []string{p.Src.IP().String()}, Sources: []string{"ssdp"}}
	for _, line := range lines[1:min(len(lines), 40)] {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		text := plain([]byte(value))
		switch strings.ToUpper(strings.TrimSpace(key)) {
		case "NTS":
			if text == "ssdp:byebye" {
				return nil, true
			}
		case "USN":
			id, _, _ := strings.Cut(text, "::")
			if id = strings.ToLower(id); strings.HasPrefix(id, "uuid:") && len(id) >= 5+8 {
				d.Aliases = []string{"ssdp:" + id}
			}
		case "NT", "ST":
			if class, sure := upnpClass(text); sure > 0 {
				d.DeviceClass, d.Confidence = class, sure
			}
		case "SERVER":
			d.Evidence = []string{"says by SSDP that it runs " + text}
		}
	}
	return d, true
}

// upnpClass is the class of a kind of UPnP device.
func upnpClass(kind string) (string, float64) {
	parts := strings.Split(kind, ":")
	if len(parts) < 4 || parts[2] != "device" {
		return "", 0
	}
	switch parts[3] {
	case "InternetGatewayDevice":
		return "router", 0.8
	case "WLANAccessPointDevice":
		return "access point", 0.8
	case "Printer", "Scanner":
		return "printer", 0.8
	case "DigitalSecurityCamera":
		return "camera", 0.8
	case "MediaRenderer", "ZonePlayer", "dial", "tvdevice":
		return "iot", 0.5
	case "MediaServer":
		return "storage", 0.3
	}
	return "", 0
}
