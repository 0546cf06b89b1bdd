package tell

import (
	"encoding/csv"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// columns are those of a list of devices as CSV.
func columns() []string {
	return []string{
		"uid", "name", "names", "ip", "mac", "vendor", "device_class", "os_name", "os_version", "model", "serial_number", "ports",
		"first_seen", "last_seen", "up", "findings", "host", "switch", "switch_port", "vlan", "known", "owner", "tags", "note",
	}
}

// CSV writes devices as lines of CSV (RFC 4180), the first with the names of columns.
type CSV struct{ w *csv.Writer }

// NewCSV returns a writer of CSV.
func NewCSV(w io.Writer) *CSV {
	c := &CSV{csv.NewWriter(w)}
	c.w.UseCRLF = true
	return c
}

// Begin writes the names of columns.
func (c *CSV) Begin() error { return c.w.Write(columns()) }

// Device writes one device with what people say of it; m may be nil.
func (c *CSV) Device(k *pb.KnownDevice, m *pb.DeviceMark) error {
	d := k.GetDevice()
	ports := make([]string, 0, len(d.GetPorts()))
	for _, p := range d.GetPorts() {
		ports = append(ports, Service(p))
	}
	place := &pb.SwitchPort{}
	if len(d.GetPlugged()) > 0 && d.GetPlugged()[0].GetUntilTime() == nil { // the present place is the first
		place = d.GetPlugged()[0]
	}
	vlan := ""
	if place.GetVlan() > 0 {
		vlan = strconv.FormatUint(uint64(place.GetVlan()), 10)
	}
	cells := []string{
		d.GetUid(), Name(d), strings.Join(d.GetNames(), " "), strings.Join(d.GetIp(), " "), strings.Join(d.GetMac(), " "), d.GetVendor(),
		d.GetDeviceClass(), d.GetOsName(), d.GetOsVersion(), d.GetModel(), d.GetSerialNumber(), strings.Join(ports, "; "),
		moment(d.GetFirstSeenTime()), moment(d.GetLastSeenTime()), strconv.FormatBool(k.GetUp()), strconv.FormatUint(uint64(k.GetFindings()), 10),
		k.GetHost(), place.GetDeviceName(), place.GetPort(), vlan,
		strconv.FormatBool(m.GetKnown()), m.GetOwner(), strings.Join(m.GetTags(), " "), m.GetNote(),
	}
	for i := range cells {
		cells[i] = plainCell(cells[i])
	}
	return c.w.Write(cells)
}

// Flush hands on what was written.
func (c *CSV) Flush() error { c.w.Flush(); return c.w.Error() }

// End makes the file whole.
func (c *CSV) End() error { return c.Flush() }

// plainCell keeps a spreadsheet from taking text of a device for a formula (CWE-1236).
func plainCell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

func moment(t *timestamppb.Timestamp) string {
	if !t.IsValid() || t.AsTime().Year() > 9999 {
		return ""
	}
	return t.AsTime().UTC().Format(time.RFC3339)
}

// NmapXML writes devices as the file that nmap writes with -oX, by its DTD
// (https://nmap.org/book/nmap-dtd.html), so that what reads those reads ours: addresses,
// names, open ports with their services, and the operating system.
type NmapXML struct {
	w   io.Writer
	enc *xml.Encoder
	now time.Time
	up  int
	all int
}

// NewNmapXML returns a writer of nmap's XML that says it was made now.
func NewNmapXML(w io.Writer, now time.Time) *NmapXML {
	return &NmapXML{w: w, enc: xml.NewEncoder(w), now: now}
}

// Begin writes what comes before the first host.
func (x *NmapXML) Begin() error {
	_, err := fmt.Fprintf(x.w, "%s<!DOCTYPE nmaprun>\n<nmaprun scanner=\"amoskys\" start=\"%d\" version=\"1\" xmloutputversion=\"1.05\">\n", xml.Header, x.now.Unix())
	return err
}

// The elements of nmap's DTD that we fill.
type (
	nmapHost struct {
		XMLName   xml.Name      `xml:"host"`
		Start     int64         `xml:"starttime,attr,omitempty"`
		End       int64         `xml:"endtime,attr,omitempty"`
		Status    nmapState     `xml:"status"`
		Addresses []nmapAddress `xml:"address"`
		Names     []nmapName    `xml:"hostnames>hostname"`
		Ports     []nmapPort    `xml:"ports>port"`
		Systems   []nmapSystem  `xml:"os>osmatch"`
	}
	nmapState struct {
		State  string `xml:"state,attr"`
		Reason string `xml:"reason,attr"`
		TTL    string `xml:"reason_ttl,attr"`
	}
	nmapAddress struct {
		Address string `xml:"addr,attr"`
		Type    string `xml:"addrtype,attr"`
		Vendor  string `xml:"vendor,attr,omitempty"`
	}
	nmapName struct {
		Name string `xml:"name,attr"`
		Type string `xml:"type,attr"`
	}
	nmapPort struct {
		Protocol string       `xml:"protocol,attr"`
		Port     uint32       `xml:"portid,attr"`
		State    nmapState    `xml:"state"`
		Service  *nmapService `xml:"service"`
	}
	nmapService struct {
		Name    string   `xml:"name,attr"`
		Product string   `xml:"product,attr,omitempty"`
		Version string   `xml:"version,attr,omitempty"`
		Method  string   `xml:"method,attr"`
		Conf    int      `xml:"conf,attr"`
		CPE     []string `xml:"cpe,omitempty"`
	}
	nmapSystem struct {
		Name     string `xml:"name,attr"`
		Accuracy int    `xml:"accuracy,attr"`
		Line     int    `xml:"line,attr"`
	}
)

// Device writes one host; what people say of it has no place there.
func (x *NmapXML) Device(k *pb.KnownDevice, _ *pb.DeviceMark) error {
	d := k.GetDevice()
	state := "down"
	x.all++
	if k.GetUp() {
		state = "up"
		x.up++
	}
	h := nmapHost{
		Start: d.GetFirstSeenTime().GetSeconds(), End: d.GetLastSeenTime().GetSeconds(),
		Status: nmapState{state, reason(d), "0"}, Addresses: addresses(d),
	}
	for _, name := range d.GetNames() {
		h.Names = append(h.Names, nmapName{name, "user"})
	}
	for _, p := range d.GetPorts() {
		h.Ports = append(h.Ports, portOf(p))
	}
	if system := System(d); system != "" {
		sure := d.GetConfidence()
		if !(sure >= 0 && sure <= 1) {
			sure = 0
		}
		h.Systems = []nmapSystem{{system, int(math.Round(100 * sure)), 0}}
	}
	if err := x.enc.Encode(h); err != nil {
		return fmt.Errorf("write a host as XML: %w", err)
	}
	_, err := io.WriteString(x.w, "\n")
	return err
}

func reason(d *pb.DeviceInventory) string {
	if len(d.GetSources()) > 0 {
		return d.GetSources()[0]
	}
	return "user-set"
}

func addresses(d *pb.DeviceInventory) []nmapAddress {
	var list []nmapAddress
	for _, text := range d.GetIp() {
		if ip, err := netip.ParseAddr(text); err == nil {
			kind := "ipv4"
			if ip.Is6() && !ip.Is4In6() {
				kind = "ipv6"
			}
			list = append(list, nmapAddress{Address: ip.Unmap().WithZone("").String(), Type: kind})
		}
	}
	for _, text := range d.GetMac() {
		if mac, err := net.ParseMAC(text); err == nil {
			list = append(list, nmapAddress{strings.ToUpper(mac.String()), "mac", d.GetVendor()})
		}
	}
	return list
}

func portOf(p *pb.Port) nmapPort {
	out := nmapPort{Protocol: p.GetProtocol(), Port: p.GetPort(), State: nmapState{"open", "user-set", "0"}}
	if p.GetService() != "" {
		out.Service = &nmapService{Name: p.GetService(), Product: p.GetProduct(), Version: p.GetVersion(), Method: "table", Conf: 3}
		if p.GetProduct() != "" {
			out.Service.Method, out.Service.Conf = "probed", 10
		}
		if p.GetCpe() != "" {
			out.Service.CPE = []string{p.GetCpe()}
		}
	}
	return out
}

// Flush hands on what was written.
func (x *NmapXML) Flush() error { return x.enc.Flush() }

// End makes the file whole. Without it no reader of XML opens it.
func (x *NmapXML) End() error {
	_, err := fmt.Fprintf(x.w, "<runstats><finished time=\"%d\"/><hosts up=\"%d\" down=\"%d\" total=\"%d\"/></runstats>\n</nmaprun>\n",
		x.now.Unix(), x.up, x.all-x.up, x.all)
	return err
}
