package dashboard

import (
	"context"
	"net/http"
	"time"

	"github.com/amoskys/amoskys/internal/devices/tell"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// DevicesAnswer is a page of devices.
type DevicesAnswer struct {
	Devices  []Device      `json:"devices" nullable:"false" doc:"Those seen last first."`
	NextPage string        `json:"next_page" doc:"The value of page for the next page, with all else as it was; empty on the last."`
	Matching uint32        `json:"matching" doc:"How many match the filter in all, whatever people say of them."`
	Total    uint32        `json:"total" doc:"How many devices there are."`
	Classes  []DeviceCount `json:"classes" nullable:"false" doc:"Devices that match by class, the most frequent first."`
	Vendors  []DeviceCount `json:"vendors" nullable:"false"`
	Services []DeviceCount `json:"services" nullable:"false"`
	// CompleteTo is what the inventory is made of.
	CompleteTo uint64   `json:"complete_to_offset" doc:"Events before this offset of the log are in it."`
	Lacks      []string `json:"lacks" nullable:"false" doc:"Why something may lack, and what to do, one sentence each; none: nothing does."`
}

// DeviceCount is how many devices have something in common.
type DeviceCount struct {
	Name    string `json:"name"`
	Devices uint32 `json:"devices"`
}

// DeviceAnswer is one device with its history.
type DeviceAnswer struct {
	Device  DeviceDetail   `json:"device"`
	Others  []Device       `json:"others" nullable:"false" doc:"Other devices of that name or address."`
	History []DeviceChange `json:"history" nullable:"false" doc:"What happened to it, the newest first, at most 500."`
}

// TopologyAnswer is which devices are linked with which.
type TopologyAnswer struct {
	Nodes   []TopologyNode `json:"nodes" nullable:"false"`
	Links   []TopologyLink `json:"links" nullable:"false"`
	LeftOut uint32         `json:"left_out" doc:"Devices that were left out, since there are too many to draw."`
}

// TopologyNode is a device in the topology.
type TopologyNode struct {
	UID         string `json:"uid"`
	Name        string `json:"name"`
	DeviceClass string `json:"device_class"`
	IP          string `json:"ip"`
	Up          bool   `json:"up"`
	Findings    uint32 `json:"findings"`
}

// TopologyLink is a link between two devices.
type TopologyLink struct {
	From     string `json:"from" doc:"uid."`
	To       string `json:"to" doc:"uid."`
	FromPort string `json:"from_port"`
	ToPort   string `json:"to_port"`
	Source   string `json:"source" doc:"lldp, cdp, fdb, arp or traceroute."`
	// Description is for people.
	Description string `json:"description" doc:"What else is known of it, such as: over a router that does not answer."`
}

// WhereAnswer says where devices are plugged in.
type WhereAnswer struct {
	Found []DeviceWhere `json:"found" nullable:"false" doc:"Every device of that name or address."`
}

// DeviceWhere is where one device is plugged in.
type DeviceWhere struct {
	Device Device `json:"device"`
	Where  string `json:"where" doc:"A sentence. Times are UTC."`
}

type devicesInput struct {
	Filter string `query:"filter" maxLength:"1024" doc:"Words that each have to be in a name, address, fact or service; class:, vendor:, os:, service:, port:, subnet:, up:, plugged: look in one fact alone, known:, owner:, tag:, note: at what people say (docs/devices.md)."`
	Limit  uint32 `query:"limit" default:"200" minimum:"1" maximum:"1000"`
	Page   string `query:"page" maxLength:"256" doc:"next_page of the page before; all else as it was."`
	MarkChoice
}

// MarkChoice chooses devices by what people say of them.
type MarkChoice struct {
	Known string `query:"known" enum:"any,yes,no" default:"any" doc:"Whether somebody knows them. A page may then have fewer devices than asked for."`
	Owner string `query:"owner" maxLength:"200" doc:"Whole name of who answers for them."`
	Tag   string `query:"tag" maxLength:"64" doc:"A tag that they have."`
}

type deviceInput struct {
	UID string `path:"uid" maxLength:"512" doc:"A uid, also a former one, an IP or MAC address, or a name."`
}

type topologyInput struct {
	UID string `query:"uid" maxLength:"512" doc:"Only what is within two links of this device."`
}

type whereInput struct {
	Text string `query:"q" required:"true" minLength:"1" maxLength:"512" doc:"An IP or MAC address, a name or a uid."`
}

// mostMarkedPages bounds how many pages of the store one page of devices chosen by
// marks is made of.
const mostMarkedPages = 20

// listDevices answers GET /api/devices.
func (s *Server) listDevices(ctx context.Context, in *devicesInput) (*DevicesAnswer, error) {
	ctx, cancel := askStored(ctx)
	defer cancel()
	filter, by, err := in.split(in.Filter)
	if err != nil {
		return nil, err
	}
	marks, lack := s.readMarks(ctx)
	if lack != "" && by.chooses() {
		return nil, problem(http.StatusServiceUnavailable, lack)
	}
	req := &pb.ListDevicesRequest{Filter: filter, Limit: in.Limit, PageToken: in.Page}
	a := &DevicesAnswer{Devices: []Device{}, Lacks: []string{}}
	for range mostMarkedPages {
		found, err := s.hub.store.devices.ListDevices(ctx, req)
		if err != nil {
			return nil, s.storeProblem(err)
		}
		for _, k := range found.GetDevices() {
			if by.takes(marks.Of(k.GetDevice())) {
				a.Devices = append(a.Devices, newDevice(k, marks))
			}
		}
		a.NextPage, a.Matching, a.Total = found.GetNextPageToken(), found.GetMatching(), found.GetTotal()
		a.Classes, a.Vendors, a.Services = newCounts(found.GetClasses()), newCounts(found.GetVendors()), newCounts(found.GetServices())
		a.CompleteTo, a.Lacks = found.GetCompleteTo(), texts(found.GetLacks())
		if len(a.Devices) > 0 || a.NextPage == "" {
			break
		}
		req.PageToken = a.NextPage
	}
	if lack != "" {
		a.Lacks = append(a.Lacks, lack)
	}
	return a, nil
}

func newCounts(list []*pb.DeviceCount) []DeviceCount {
	out := make([]DeviceCount, 0, len(list))
	for _, c := range list {
		out = append(out, DeviceCount{c.GetName(), c.GetDevices()})
	}
	return out
}

// oneDevice answers GET /api/devices/{uid}.
func (s *Server) oneDevice(ctx context.Context, in *deviceInput) (*DeviceAnswer, error) {
	ctx, cancel := askStored(ctx)
	defer cancel()
	found, err := s.hub.store.devices.FindDevice(ctx, &pb.FindDeviceRequest{Text: in.UID})
	if err != nil {
		return nil, s.storeProblem(err)
	}
	if len(found.GetDevices()) == 0 {
		return nil, problem(http.StatusNotFound, "there is no such device")
	}
	marks, _ := s.readMarks(ctx) // without them the rest is shown; the list says why
	a := &DeviceAnswer{Device: newDeviceDetail(found.GetDevices()[0], marks), Others: newDevices(found.GetDevices()[1:], marks), History: []DeviceChange{}}
	for _, c := range newDeviceChanges(found.GetHistory()) {
		if len(a.Others) == 0 || c.UID == a.Device.UID {
			a.History = append(a.History, c)
		}
	}
	return a, nil
}

// topology answers GET /api/devices/topology.
func (s *Server) topology(ctx context.Context, in *topologyInput) (*TopologyAnswer, error) {
	ctx, cancel := askStored(ctx)
	defer cancel()
	found, err := s.hub.store.devices.Topology(ctx, &pb.TopologyRequest{DeviceUid: in.UID})
	if err != nil {
		return nil, s.storeProblem(err)
	}
	a := &TopologyAnswer{Nodes: []TopologyNode{}, Links: []TopologyLink{}, LeftOut: found.GetLeftOut()}
	for _, n := range found.GetNodes() {
		a.Nodes = append(a.Nodes, TopologyNode{n.GetDeviceUid(), n.GetName(), n.GetDeviceClass(), n.GetIp(), n.GetUp(), n.GetFindings()})
	}
	for _, l := range found.GetLinks() {
		a.Links = append(a.Links, TopologyLink{l.GetFromUid(), l.GetToUid(), l.GetFromPort(), l.GetToPort(), l.GetSource(), l.GetDescription()})
	}
	return a, nil
}

// whereIs answers GET /api/devices/where.
func (s *Server) whereIs(ctx context.Context, in *whereInput) (*WhereAnswer, error) {
	ctx, cancel := askStored(ctx)
	defer cancel()
	found, err := s.hub.store.devices.FindDevice(ctx, &pb.FindDeviceRequest{Text: in.Text})
	if err != nil {
		return nil, s.storeProblem(err)
	}
	marks, _ := s.readMarks(ctx) // without them the rest is shown; the list says why
	a := &WhereAnswer{Found: []DeviceWhere{}}
	for _, k := range found.GetDevices() {
		a.Found = append(a.Found, DeviceWhere{newDevice(k, marks), tell.Where(k.GetDevice(), time.UTC)})
	}
	return a, nil
}
