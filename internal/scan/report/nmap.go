package report

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Bounds of what is read of a file that claims to be nmap's.
const (
	mostHost  = 64 << 20 // bytes between two hosts, and of one
	mostPorts = 2 * 65_535
	mostText  = 512
)

// The parts of nmap's XML (nmap.dtd 1.05) that are read or written.
type nmapHost struct {
	XMLName   xml.Name       `xml:"host"`
	Status    nmapState      `xml:"status"`
	Addresses []nmapAddress  `xml:"address"`
	Hostnames []nmapHostname `xml:"hostnames>hostname"`
	Ports     nmapPorts      `xml:"ports"`
	OS        *nmapOS        `xml:"os,omitempty"`
	Times     *nmapTimes     `xml:"times,omitempty"`
}

type nmapState struct {
	State  string `xml:"state,attr"`
	Reason string `xml:"reason,attr"`
}

type nmapAddress struct {
	Addr   string `xml:"addr,attr"`
	Type   string `xml:"addrtype,attr"`
	Vendor string `xml:"vendor,attr,omitempty"`
}

type nmapHostname struct {
	Name string `xml:"name,attr"`
	Type string `xml:"type,attr"`
}

type nmapPorts struct {
	Extra []nmapExtra `xml:"extraports"`
	Ports []nmapPort  `xml:"port"`
}

type nmapExtra struct {
	State string `xml:"state,attr"`
	Count int    `xml:"count,attr"`
}

type nmapPort struct {
	Protocol string       `xml:"protocol,attr"`
	ID       string       `xml:"portid,attr"`
	State    nmapState    `xml:"state"`
	Service  *nmapService `xml:"service,omitempty"`
}

type nmapService struct {
	Name    string   `xml:"name,attr"`
	Product string   `xml:"product,attr,omitempty"`
	Version string   `xml:"version,attr,omitempty"`
	Tunnel  string   `xml:"tunnel,attr,omitempty"`
	OSType  string   `xml:"ostype,attr,omitempty"`
	Method  string   `xml:"method,attr"`
	Conf    int      `xml:"conf,attr"`
	CPE     []string `xml:"cpe"`
}

type nmapOS struct {
	Matches []nmapMatch `xml:"osmatch"`
}

type nmapMatch struct {
	Name     string      `xml:"name,attr"`
	Accuracy string      `xml:"accuracy,attr"`
	Classes  []nmapClass `xml:"osclass"`
}

type nmapClass struct {
	Type   string   `xml:"type,attr"`
	Vendor string   `xml:"vendor,attr"`
	Family string   `xml:"osfamily,attr"`
	CPE    []string `xml:"cpe"`
}

type nmapTimes struct {
	SRTT string `xml:"srtt,attr"`
	Var  string `xml:"rttvar,attr"`
	To   string `xml:"to,attr"`
}

// ErrNotNmap says that a file is not what nmap -oX writes.
var ErrNotNmap = errors.New("not XML as nmap -oX writes it: it has no element nmaprun")

// LeftOut is how much of a file was not understood: hosts that were up and have no address
// that a host can have, and ports that are none of TCP or UDP, or stand there twice.
type LeftOut struct{ Hosts, Ports int }

// String says it in words, nothing where nothing was left out.
func (l LeftOut) String() string {
	if l == (LeftOut{}) {
		return ""
	}
	return fmt.Sprintf("left out: %d hosts without an address that a host can have, %d ports that are none of TCP or UDP or stand there twice", l.Hosts, l.Ports)
}

// ReadNmapXML reads what nmap -oX wrote and calls each for every host that was up. A
// file that is cut, as of a scan that was stopped, gives its hosts and then an error.
func ReadNmapXML(r io.Reader, each func(Device) error) (left LeftOut, err error) {
	limited := &io.LimitedReader{R: r, N: mostHost}
	d := xml.NewDecoder(limited)
	d.CharsetReader = func(name string, in io.Reader) (io.Reader, error) {
		if strings.EqualFold(name, "us-ascii") {
			return in, nil
		}
		return nil, fmt.Errorf("it says that it is in %.40q, and only UTF-8 is read", name)
	}
	begun := false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && begun && limited.N > 0 {
			return left, nil
		}
		if err != nil {
			if !begun && !strings.Contains(err.Error(), "only UTF-8") {
				return left, ErrNotNmap
			}
			return left, fmt.Errorf("read nmap's XML: after byte %d: %w", d.InputOffset(), err)
		}
		start, is := token.(xml.StartElement)
		switch {
		case !is:
			continue
		case start.Name.Local == "nmaprun":
			begun = true
			continue
		case !begun:
			return left, ErrNotNmap
		case start.Name.Local != "host":
			continue
		}
		var h nmapHost
		if err := d.DecodeElement(&h, &start); err != nil {
			return left, fmt.Errorf("read nmap's XML: host at byte %d: %w", d.InputOffset(), err)
		}
		limited.N = mostHost
		if h.Status.State != "" && h.Status.State != "up" {
			continue
		}
		device, ok := h.device(&left)
		if !ok {
			left.Hosts++
			continue
		}
		if err := each(device); err != nil {
			return left, err
		}
	}
}

// device is what a host of nmap's is in our form; ok is false for one that has no address.
func (h *nmapHost) device(left *LeftOut) (d Device, ok bool) {
	d.Ports = []Port{}
	for _, a := range h.Addresses {
		switch a.Type {
		case "mac":
			if mac, err := net.ParseMAC(a.Addr); err == nil {
				d.MAC, d.Vendor = mac.String(), text(a.Vendor)
			}
		default:
			if ip, err := netip.ParseAddr(a.Addr); err == nil && d.IP == "" && !ip.IsUnspecified() && !ip.IsMulticast() && ip != netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
				d.IP = ip.Unmap().String()
			}
		}
	}
	if d.IP == "" {
		return d, false
	}
	for _, n := range h.Hostnames {
		if name := text(n.Name); name != "" && !slices.Contains(d.Names, name) && len(d.Names) < 32 {
			d.Names = append(d.Names, name)
		}
	}
	if len(d.Names) > 0 {
		d.Hostname = d.Names[0]
	}
	d.How = []string{"nmap"}
	for _, e := range h.Ports.Extra {
		h.count(&d, e.State, max(0, min(e.Count, mostPorts)))
	}
	type key struct {
		protocol string
		number   uint64
	}
	seen := map[key]bool{}
	for _, p := range h.Ports.Ports {
		number, err := strconv.ParseUint(p.ID, 10, 16)
		if err != nil || p.Protocol != "tcp" && p.Protocol != "udp" || seen[key{p.Protocol, number}] || len(seen) == mostPorts {
			left.Ports++
			continue
		}
		seen[key{p.Protocol, number}] = true
		if p.State.State != "open" {
			h.count(&d, p.State.State, 1)
			continue
		}
		d.Ports = append(d.Ports, p.port(uint16(number)))
	}
	h.system(&d)
	return d, true
}

func (h *nmapHost) count(d *Device, state string, n int) {
	switch state {
	case "closed":
		d.Closed += n
	case "filtered", "open|filtered":
		d.Filtered += n
	}
}

func (p *nmapPort) port(number uint16) Port {
	out := Port{Port: number, Protocol: p.Protocol}
	if s := p.Service; s != nil {
		out.Service, out.Product, out.Version = text(s.Name), text(s.Product), text(s.Version)
		if s.Method == "table" && out.Service != "" {
			out.Remarks = []string{Unproven}
		}
		if s.Tunnel == "ssl" && out.Service == "http" {
			out.Service = "https"
		}
		for _, c := range s.CPE {
			if c = text(c); strings.HasPrefix(c, "cpe:/a:") || strings.HasPrefix(c, "cpe:2.3:a:") {
				out.CPE = formatted(c)
				break
			}
		}
	}
	return out
}

// system takes nmap's best guess of an operating system.
func (h *nmapHost) system(d *Device) {
	if h.OS == nil || len(h.OS.Matches) == 0 {
		return
	}
	best := h.OS.Matches[0]
	d.OS = text(best.Name)
	for _, c := range best.Classes[:min(len(best.Classes), 8)] {
		if d.Class == "" {
			d.Class = classOf(c.Type)
		}
		for _, name := range c.CPE[:min(len(c.CPE), 8)] {
			if name = formatted(text(name)); name != "" && !slices.Contains(d.CPE, name) {
				d.CPE = append(d.CPE, name)
			}
		}
	}
}

// classOf names nmap's types of devices by our classes. What nmap calls general purpose
// says nothing.
func classOf(kind string) string {
	switch kind {
	case "router", "broadband router":
		return "router"
	case "switch", "bridge", "hub":
		return "switch"
	case "WAP":
		return "access_point"
	case "printer", "print server":
		return "printer"
	case "phone":
		return "phone"
	case "webcam":
		return "camera"
	case "storage-misc":
		return "storage"
	case "firewall":
		return "firewall"
	}
	return ""
}

// text bounds a text of the file.
func text(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > mostText {
		s = strings.ToValidUTF8(s[:mostText], "")
	}
	return s
}

func nmapOf(d *Device) nmapHost {
	h := nmapHost{Status: nmapState{State: "up", Reason: "unknown-response"}}
	reasons := map[string]string{"arp": "arp-response", "ndp": "nd-response", "icmp": "echo-reply", "tcp": "syn-ack", "udp": "udp-response", "self": "localhost-response"}
	if len(d.How) > 0 && reasons[d.How[0]] != "" {
		h.Status.Reason = reasons[d.How[0]]
	}
	kind := "ipv4"
	if strings.Contains(d.IP, ":") {
		kind = "ipv6"
	}
	h.Addresses = append(h.Addresses, nmapAddress{Addr: d.IP, Type: kind})
	if d.MAC != "" {
		h.Addresses = append(h.Addresses, nmapAddress{Addr: strings.ToUpper(d.MAC), Type: "mac", Vendor: d.Vendor})
	}
	for _, n := range d.Names {
		h.Hostnames = append(h.Hostnames, nmapHostname{Name: n, Type: "PTR"})
	}
	for state, n := range map[string]int{"closed": d.Closed, "filtered": d.Filtered} {
		if n > 0 {
			h.Ports.Extra = append(h.Ports.Extra, nmapExtra{State: state, Count: n})
		}
	}
	slices.SortFunc(h.Ports.Extra, func(a, b nmapExtra) int { return strings.Compare(a.State, b.State) })
	for _, p := range d.Ports {
		h.Ports.Ports = append(h.Ports.Ports, p.nmap())
	}
	if d.OS != "" {
		h.OS = &nmapOS{Matches: []nmapMatch{{Name: d.OS, Accuracy: "90", Classes: classesOf(d)}}}
	}
	if d.RTTMS > 0 {
		us := strconv.FormatFloat(d.RTTMS*1000, 'f', 0, 64)
		h.Times = &nmapTimes{SRTT: us, Var: us, To: "100000"}
	}
	return h
}

// classesOf tells the class and the CPE of a system in nmap's words; nothing where
// neither is known.
func classesOf(d *Device) []nmapClass {
	kind := kindOf(d.Class)
	if kind == "" && len(d.CPE) == 0 {
		return nil
	}
	c := nmapClass{Type: cmp.Or(kind, "general purpose"), Vendor: d.Vendor, Family: d.OS}
	for _, name := range d.CPE {
		c.CPE = append(c.CPE, uri(name))
	}
	return []nmapClass{c}
}

// kindOf is the reverse of classOf.
func kindOf(class string) string {
	switch class {
	case "access_point":
		return "WAP"
	case "camera":
		return "webcam"
	case "storage":
		return "storage-misc"
	case "router", "switch", "printer", "phone", "firewall":
		return class
	}
	return ""
}

func (p *Port) nmap() nmapPort {
	out := nmapPort{Protocol: p.Protocol, ID: strconv.Itoa(int(p.Port)), State: nmapState{State: "open", Reason: "syn-ack"}}
	if p.Protocol == "udp" {
		out.State.Reason = "udp-response"
	}
	if p.Service == "" {
		return out
	}
	out.Service = &nmapService{Name: p.Service, Product: p.Product, Version: p.Version, Method: "probed", Conf: 10}
	if p.unproven() { // as nmap writes what it took from its table
		out.Service.Method, out.Service.Conf = "table", 3
	}
	if p.Service == "https" {
		out.Service.Name, out.Service.Tunnel = "http", "ssl"
	}
	if p.CPE != "" {
		out.Service.CPE = []string{uri(p.CPE)}
	}
	return out
}
