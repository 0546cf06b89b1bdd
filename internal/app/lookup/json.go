package lookup

import (
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/devices/tell"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Device is the object that `amoskys devices --json` prints a line of. Keys are only ever
// added: docs/cli.md promises them.
type Device struct {
	UID         string     `json:"uid"`
	Name        string     `json:"name"`
	Names       []string   `json:"names,omitempty"`
	IP          []string   `json:"ip,omitempty"`
	MAC         []string   `json:"mac,omitempty"`
	Vendor      string     `json:"vendor,omitempty"`
	DeviceClass string     `json:"device_class,omitempty"`
	OSName      string     `json:"os_name,omitempty"`
	OSVersion   string     `json:"os_version,omitempty"`
	Model       string     `json:"model,omitempty"`
	Serial      string     `json:"serial_number,omitempty"`
	Subnet      string     `json:"subnet,omitempty"`
	Ports       []Port     `json:"ports"`
	Sources     []string   `json:"sources,omitempty"`
	FirstSeen   *time.Time `json:"first_seen,omitempty"`
	LastSeen    *time.Time `json:"last_seen,omitempty"`
	Up          bool       `json:"up"`
	Findings    uint32     `json:"findings"`
	Host        string     `json:"host,omitempty"`
	Observers   []string   `json:"observers,omitempty"`
	Plugged     []Plug     `json:"plugged,omitempty"`
	FormerUIDs  []string   `json:"former_uids,omitempty"`
	Mark        *Mark      `json:"mark,omitempty"`
}

// Port is an open port.
type Port struct {
	Port     uint32 `json:"port"`
	Protocol string `json:"protocol"`
	Service  string `json:"service,omitempty"`
	Product  string `json:"product,omitempty"`
	Version  string `json:"version,omitempty"`
	CPE      string `json:"cpe,omitempty"`
}

// Plug is a port of a switch.
type Plug struct {
	SwitchUID  string     `json:"switch_uid,omitempty"`
	SwitchName string     `json:"switch_name,omitempty"`
	SwitchIP   string     `json:"switch_ip,omitempty"`
	IfIndex    uint32     `json:"if_index,omitempty"`
	Port       string     `json:"port,omitempty"`
	VLAN       uint32     `json:"vlan,omitempty"`
	MAC        string     `json:"mac,omitempty"`
	Source     string     `json:"source,omitempty"`
	Since      *time.Time `json:"since,omitempty"`
	Until      *time.Time `json:"until,omitempty"` // absent where it is there now
}

// Mark is what people say of a device.
type Mark struct {
	Known     bool       `json:"known"`
	Owner     string     `json:"owner,omitempty"`
	Tags      []string   `json:"tags,omitempty"`
	Note      string     `json:"note,omitempty"`
	ChangedAt *time.Time `json:"changed_time,omitempty"`
	ChangedBy string     `json:"changed_by,omitempty"`
}

// Place is where a device is plugged in, of `amoskys where --json`.
type Place struct {
	UID     string   `json:"uid"`
	Name    string   `json:"name"`
	IP      []string `json:"ip,omitempty"`
	MAC     []string `json:"mac,omitempty"`
	Where   string   `json:"where"`
	Plugged []Plug   `json:"plugged"` // the present place first
}

// Change is one line of a device's history.
type Change struct {
	Time    time.Time `json:"time"`
	UID     string    `json:"uid"`
	Type    string    `json:"type"`
	Message string    `json:"message"`
	Offset  uint64    `json:"offset"`
}

func newDevice(k *pb.KnownDevice, m *pb.DeviceMark) Device {
	d := k.GetDevice()
	out := Device{
		UID: d.GetUid(), Name: tell.Name(d), Names: d.GetNames(), IP: d.GetIp(), MAC: d.GetMac(), Vendor: d.GetVendor(),
		DeviceClass: d.GetDeviceClass(), OSName: d.GetOsName(), OSVersion: d.GetOsVersion(), Model: d.GetModel(), Serial: d.GetSerialNumber(),
		Subnet: d.GetSubnet(), Ports: []Port{}, Sources: d.GetSources(), FirstSeen: instant(d.GetFirstSeenTime()), LastSeen: instant(d.GetLastSeenTime()),
		Up: k.GetUp(), Findings: k.GetFindings(), Host: k.GetHost(), Observers: k.GetObservers(), Plugged: plugs(d), FormerUIDs: d.GetFormerUids(),
	}
	for _, p := range d.GetPorts() {
		out.Ports = append(out.Ports, Port{p.GetPort(), p.GetProtocol(), p.GetService(), p.GetProduct(), p.GetVersion(), p.GetCpe()})
	}
	if m != nil {
		out.Mark = &Mark{m.GetKnown(), m.GetOwner(), m.GetTags(), m.GetNote(), instant(m.GetChangedTime()), m.GetChangedBy()}
	}
	return out
}

func plugs(d *pb.DeviceInventory) []Plug {
	out := make([]Plug, 0, len(d.GetPlugged()))
	for _, p := range d.GetPlugged() {
		out = append(out, Plug{
			p.GetDeviceUid(), p.GetDeviceName(), p.GetDeviceIp(), p.GetIfIndex(), p.GetPort(), p.GetVlan(), p.GetMac(), p.GetSource(),
			instant(p.GetSinceTime()), instant(p.GetUntilTime()),
		})
	}
	return out
}

func newPlace(d *pb.DeviceInventory) Place {
	return Place{d.GetUid(), tell.Name(d), d.GetIp(), d.GetMac(), tell.Where(d, time.UTC), plugs(d)}
}

// instant is nil where there is no time that JSON can hold.
func instant(t *timestamppb.Timestamp) *time.Time {
	if !t.IsValid() || t.GetSeconds() == 0 || t.AsTime().Year() > 9999 {
		return nil
	}
	at := t.AsTime()
	return &at
}

// whole is all that is known of a device, as the messages name it.
func whole(k *pb.KnownDevice) (json.RawMessage, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("write a device as JSON: %w", err)
	}
	return text, nil
}
