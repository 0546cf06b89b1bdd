package hear

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// readDHCP reads what a client says of itself, or a server of the client that it serves
// (RFC 2131).
func readDHCP(_ mac, p *packet.Packet) (*pb.DeviceInventory, bool) {
	m, ok := dissect.ReadDHCP(p.Payload)
	if !ok {
		return nil, false
	}
	if m.MAC == "" {
		return nil, true
	}
	d := &pb.DeviceInventory{Mac: []string{m.MAC}, Sources: []string{"dhcp"}}
	if m.Hostname != "" {
		d.Names = []string{m.Hostname}
	}
	if id := clientID(m.ClientID); id != "" {
		d.Aliases = []string{id}
	}
	addr := netip.Addr{}
	switch {
	case m.FromServer && m.Message == "ACK":
		addr = m.Assigned.IP()
	case !m.FromServer && m.Client != packet.Addr{} && m.Message != "RELEASE":
		addr = m.Client.IP()
	}
	if usable(addr) {
		d.Ip = []string{addr.String()}
	}
	if !m.FromServer {
		judgeClient(d, &m)
	}
	return d, true
}

// judgeClient tells what the vendor class (RFC 2132, section 9.13) and the list of wanted
// options say of a client.
func judgeClient(d *pb.DeviceInventory, m *dissect.DHCP) {
	if m.VendorClass != "" {
		d.Evidence = append(d.Evidence, "names itself "+m.VendorClass+" by DHCP")
	}
	if len(m.Parameters) > 0 {
		d.Evidence = append(d.Evidence, "asks by DHCP for the options "+numbers(m.Parameters))
	}
	switch class := m.VendorClass; {
	case strings.HasPrefix(class, "MSFT "):
		d.OsName, d.Confidence = "Windows", 0.7
	case strings.HasPrefix(class, "android-dhcp-"):
		d.OsName, d.OsVersion, d.DeviceClass, d.Confidence = "Android", strings.TrimPrefix(class, "android-dhcp-"), "phone", 0.7
	case strings.HasPrefix(class, "dhcpcd"), strings.HasPrefix(class, "udhcp"):
		d.OsName, d.Confidence = "Linux", 0.5
	}
}

// numbers lists the options that a client wants.
func numbers(options []uint8) string {
	words := make([]string, 0, 40)
	for _, o := range options[:min(len(options), 40)] {
		words = append(words, strconv.Itoa(int(o)))
	}
	return strings.Join(words, " ")
}

// clientID makes an alias of a client's identifier (RFC 2132, section 9.14), unless it is
// an address that is known anyway: its DUID if it has one (RFC 4361), else all of it.
func clientID(text string) string {
	id, err := hex.DecodeString(text)
	if err != nil || len(id) < 3 {
		return ""
	}
	switch {
	case id[0] == 1 && len(id) == 7:
		return ""
	case id[0] == 0xff && len(id) > 7:
		return "duid:" + hex.EncodeToString(id[5:])
	}
	return "dhcp:" + hex.EncodeToString(id[:min(len(id), 128)])
}

// readDHCP6 reads what a client says of itself (RFC 8415). It does so from its link-local
// address, so that the frame is its own.
func readDHCP6(src mac, p *packet.Packet) (*pb.DeviceInventory, bool) {
	m, ok := dissect.ReadDHCP6(p.Payload)
	if !ok {
		return nil, false
	}
	if m.FromServer || !p.Src.IP().IsLinkLocalUnicast() || m.Message == "RELAY-FORW" {
		return nil, true
	}
	d := &pb.DeviceInventory{Mac: []string{macText(src)}, Ip: []string{p.Src.IP().String()}, Sources: []string{"dhcp"}}
	if m.Hostname != "" {
		d.Names = []string{m.Hostname}
	}
	if len(m.ClientID) > 8 {
		d.Aliases = []string{"duid:" + m.ClientID}
	}
	return d, true
}

// readNetBIOS reads the name that a host registers for itself (RFC 1002, section 4.2).
func readNetBIOS(src mac, p *packet.Packet) (*pb.DeviceInventory, bool) {
	n, ok := dissect.ReadNetBIOSName(p.Payload)
	if !ok {
		return nil, len(p.Payload) >= 12 // a question, which says nothing of who asks
	}
	if n.Group || n.Suffix != 0 && n.Suffix != 0x20 || !usable(p.Src.IP()) {
		return nil, true
	}
	return &pb.DeviceInventory{
		Mac: []string{macText(src)}, Ip: []string{p.Src.IP().String()}, Names: []string{n.Name}, Sources: []string{"netbios"},
	}, true
}
