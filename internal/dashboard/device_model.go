package dashboard

import (
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/devices/tell"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Device is what is known of one device, in a list.
type Device struct {
	UID           string       `json:"uid" doc:"Its name for good, as docs/entities.md says."`
	Name          string       `json:"name" doc:"What people know it by: its best name, else an address."`
	Names         []string     `json:"names" nullable:"false" doc:"All its names, the best first."`
	IP            []string     `json:"ip" nullable:"false"`
	MAC           []string     `json:"mac" nullable:"false"`
	MACRandomized bool         `json:"mac_randomized" doc:"Its MAC addresses are locally administered, as randomised ones are."`
	Vendor        string       `json:"vendor"`
	Model         string       `json:"model"`
	SerialNumber  string       `json:"serial_number"`
	OSName        string       `json:"os_name"`
	OSVersion     string       `json:"os_version"`
	DeviceClass   string       `json:"device_class" doc:"server, workstation, phone, printer, camera, switch, router, …; empty where nobody knows."`
	Confidence    float64      `json:"confidence" doc:"How sure operating system and class are, from 0 to 1."`
	Subnet        string       `json:"subnet"`
	OpenPorts     []OpenPort   `json:"open_ports" nullable:"false"`
	Sources       []string     `json:"sources" nullable:"false" doc:"How it is known: arp, dhcp, mdns, snmp, …"`
	FirstSeen     *time.Time   `json:"first_seen" nullable:"true"`
	LastSeen      *time.Time   `json:"last_seen" nullable:"true"`
	Up            bool         `json:"up" doc:"It answered or was heard within the time that its observers keep to."`
	Findings      uint32       `json:"findings" doc:"Findings about it in the last 24 hours."`
	Observers     []string     `json:"observers" nullable:"false" doc:"Hosts whose agents saw it."`
	Host          string       `json:"host" doc:"The name of its own host, where an agent runs there; else empty."`
	Plugged       []SwitchPort `json:"plugged" nullable:"false" doc:"Where it is plugged in, the present place first, then those before it."`
	SNMP          bool         `json:"snmp" doc:"It has been read by SNMP."`
	FormerUIDs    []string     `json:"former_uids" nullable:"false" doc:"uids that it had before."`
	Mark          DeviceMark   `json:"mark" doc:"What people say of it."`
}

// OpenPort is an open port, in a list.
type OpenPort struct {
	Port     uint32 `json:"port"`
	Protocol string `json:"protocol" doc:"tcp or udp."`
	Service  string `json:"service" doc:"Its name by IANA, such as ssh."`
	Product  string `json:"product"`
	Version  string `json:"version"`
}

// SwitchPort is a port of a switch behind which a device is or was.
type SwitchPort struct {
	SwitchUID  string     `json:"switch_uid"`
	SwitchName string     `json:"switch_name"`
	SwitchIP   string     `json:"switch_ip"`
	IfIndex    uint32     `json:"if_index"`
	Port       string     `json:"port" doc:"ifName, such as Gi1/0/7."`
	VLAN       uint32     `json:"vlan" doc:"0 where it is not known."`
	MAC        string     `json:"mac" doc:"The MAC address that was seen there."`
	Source     string     `json:"source" doc:"How it is known: fdb, lldp, cdp or arp."`
	Since      *time.Time `json:"since" nullable:"true"`
	Until      *time.Time `json:"until" nullable:"true" doc:"Null where it is there now."`
}

// DeviceMark is what people say of a device.
type DeviceMark struct {
	Known     bool       `json:"known" doc:"Somebody knows it and says that it belongs here."`
	Owner     string     `json:"owner" doc:"Who answers for it."`
	Tags      []string   `json:"tags" nullable:"false"`
	Note      string     `json:"note"`
	ChangedAt *time.Time `json:"changed_at" nullable:"true" doc:"Null where nobody has said anything of it."`
	ChangedBy string     `json:"changed_by"`
}

// DeviceDetail is all that is known of one device.
type DeviceDetail struct {
	Device

	EngineID string       `json:"engine_id" doc:"Of its SNMP engine, hexadecimal (RFC 3411)."`
	CPE      []string     `json:"cpe" nullable:"false" doc:"CPE 2.3 names of its system and hardware."`
	Aliases  []string     `json:"aliases" nullable:"false" doc:"DHCP client ids, mDNS and SSDP ids."`
	Evidence []string     `json:"evidence" nullable:"false" doc:"Why it is thought to be what it is, one sentence each."`
	Ports    []DevicePort `json:"ports" nullable:"false" doc:"Its open ports with all that is known of them."`
	Links    []DeviceLink `json:"links" nullable:"false" doc:"Its neighbours, as LLDP, CDP or a route tells."`
	Reading  *SNMPReading `json:"reading,omitempty" doc:"The newest reading of it by SNMP; absent without."`
	Where    string       `json:"where" doc:"Where it is plugged in, as a sentence. Times are UTC."`
	Query    string       `json:"query" doc:"Finds its events, in the language of docs/query.md."`
}

// DevicePort is an open port and what answers there.
type DevicePort struct {
	OpenPort

	Banner                string     `json:"banner"`
	CPE                   string     `json:"cpe"`
	Title                 string     `json:"title" doc:"Of its page, where it speaks HTTP."`
	Server                string     `json:"server"`
	FaviconSHA256         string     `json:"favicon_sha256"`
	TLSVersion            string     `json:"tls_version"`
	CertificateSubject    string     `json:"certificate_subject"`
	CertificateIssuer     string     `json:"certificate_issuer"`
	CertificateNotAfter   *time.Time `json:"certificate_not_after" nullable:"true"`
	CertificateSHA256     string     `json:"certificate_sha256"`
	CertificateSelfSigned bool       `json:"certificate_self_signed"`
	HostKey               string     `json:"host_key" doc:"Of SSH, as ssh-keygen prints it."`
	Remarks               []string   `json:"remarks" nullable:"false" doc:"Such as: anonymous login."`
}

// DeviceLink is a neighbour of a device.
type DeviceLink struct {
	Source       string   `json:"source" doc:"lldp, cdp, fdb, arp or traceroute."`
	IfIndex      uint32   `json:"if_index"`
	Port         string   `json:"port" doc:"Of this device."`
	UID          string   `json:"uid" doc:"Of the neighbour, where it is known."`
	Name         string   `json:"name"`
	IP           string   `json:"ip"`
	MAC          string   `json:"mac"`
	RemotePort   string   `json:"remote_port"`
	Capabilities []string `json:"capabilities" nullable:"false" doc:"bridge, router, wlan, telephone, …"`
	Description  string   `json:"description"`
}

// DeviceChange is one thing that happened to a device.
type DeviceChange struct {
	Time    time.Time `json:"time"`
	UID     string    `json:"uid"`
	Type    string    `json:"type" doc:"Of the event, such as device.moved."`
	Message string    `json:"message" doc:"One line for people."`
	Offset  uint64    `json:"offset" doc:"Of the event in the log."`
}

// newDevice shows a device in a list.
func newDevice(k *pb.KnownDevice, marks tell.Marks) Device {
	d := k.GetDevice()
	out := Device{
		UID: d.GetUid(), Name: tell.Name(d), Names: texts(d.GetNames()), IP: texts(d.GetIp()), MAC: texts(d.GetMac()),
		MACRandomized: d.GetMacRandomized(), Vendor: d.GetVendor(), Model: d.GetModel(), SerialNumber: d.GetSerialNumber(),
		OSName: d.GetOsName(), OSVersion: d.GetOsVersion(), DeviceClass: d.GetDeviceClass(), Confidence: finite(d.GetConfidence()),
		Subnet: d.GetSubnet(), OpenPorts: []OpenPort{}, Sources: texts(d.GetSources()), FirstSeen: instant(d.GetFirstSeenTime()),
		LastSeen: instant(d.GetLastSeenTime()), Up: k.GetUp(), Findings: k.GetFindings(), Observers: texts(k.GetObservers()),
		Host: k.GetHost(), Plugged: []SwitchPort{}, SNMP: k.GetSnmp() != nil, FormerUIDs: texts(d.GetFormerUids()),
		Mark: newMark(marks.Of(d)),
	}
	for _, p := range d.GetPorts() {
		out.OpenPorts = append(out.OpenPorts, newOpenPort(p))
	}
	for _, p := range d.GetPlugged() {
		out.Plugged = append(out.Plugged, newSwitchPort(p))
	}
	return out
}

func newDevices(list []*pb.KnownDevice, marks tell.Marks) []Device {
	out := make([]Device, 0, len(list))
	for _, k := range list {
		out = append(out, newDevice(k, marks))
	}
	return out
}

func newOpenPort(p *pb.Port) OpenPort {
	return OpenPort{p.GetPort(), p.GetProtocol(), p.GetService(), p.GetProduct(), p.GetVersion()}
}

func newSwitchPort(p *pb.SwitchPort) SwitchPort {
	return SwitchPort{
		SwitchUID: p.GetDeviceUid(), SwitchName: p.GetDeviceName(), SwitchIP: p.GetDeviceIp(), IfIndex: p.GetIfIndex(), Port: p.GetPort(),
		VLAN: p.GetVlan(), MAC: p.GetMac(), Source: p.GetSource(), Since: instant(p.GetSinceTime()), Until: instant(p.GetUntilTime()),
	}
}

// newDeviceDetail shows all of a device.
func newDeviceDetail(k *pb.KnownDevice, marks tell.Marks) DeviceDetail {
	d := k.GetDevice()
	out := DeviceDetail{
		Device: newDevice(k, marks), EngineID: d.GetEngineId(), CPE: texts(d.GetCpe()), Aliases: texts(d.GetAliases()),
		Evidence: texts(d.GetEvidence()), Ports: []DevicePort{}, Links: newLinks(d.GetLinks()), Where: tell.Where(d, time.UTC),
		Query: deviceQuery(d), Reading: newReading(k.GetSnmp()),
	}
	for _, p := range d.GetPorts() {
		out.Ports = append(out.Ports, DevicePort{
			OpenPort: newOpenPort(p), Banner: p.GetBanner(), CPE: p.GetCpe(), Title: p.GetTitle(), Server: p.GetServer(),
			FaviconSHA256: p.GetFaviconSha256(), TLSVersion: p.GetTlsVersion(), CertificateSubject: p.GetCertificateSubject(),
			CertificateIssuer: p.GetCertificateIssuer(), CertificateNotAfter: instant(p.GetCertificateNotAfter()),
			CertificateSHA256: p.GetCertificateSha256(), CertificateSelfSigned: p.GetCertificateSelfSigned(), HostKey: p.GetHostKey(),
			Remarks: texts(p.GetRemarks()),
		})
	}
	return out
}

func newLinks(links []*pb.DeviceLink) []DeviceLink {
	out := make([]DeviceLink, 0, len(links))
	for _, l := range links {
		out = append(out, DeviceLink{
			Source: l.GetSource(), IfIndex: l.GetIfIndex(), Port: l.GetPort(), UID: l.GetDeviceUid(), Name: l.GetName(), IP: l.GetIp(),
			MAC: l.GetMac(), RemotePort: l.GetRemotePort(), Capabilities: texts(l.GetCapabilities()), Description: l.GetDescription(),
		})
	}
	return out
}

// maxQueryUIDs is by how many of its uids the events of a device are looked for.
const maxQueryUIDs = 16

// deviceQuery finds the events of a device, by all uids that it had.
func deviceQuery(d *pb.DeviceInventory) string {
	uids := append([]string{d.GetUid()}, d.GetFormerUids()...)
	uids = uids[:min(len(uids), maxQueryUIDs)]
	terms := make([]string, 0, 2*len(uids))
	for _, uid := range uids {
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(uid) + `"`
		terms = append(terms, "about.uid:="+quoted, "device.uid:="+quoted)
	}
	return "(" + strings.Join(terms, " OR ") + ")"
}

func newDeviceChanges(list []*pb.DeviceChange) []DeviceChange {
	out := make([]DeviceChange, 0, len(list))
	for _, c := range list {
		out = append(out, DeviceChange{c.GetTime().AsTime(), c.GetDeviceUid(), c.GetType(), c.GetMessage(), c.GetOffset()})
	}
	return out
}

// texts is a list that JSON shows as one also where it is empty.
func texts(list []string) []string { return append([]string{}, list...) }
