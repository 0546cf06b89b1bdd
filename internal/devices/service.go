package devices

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/limit"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

var _ pb.DevicesServer = (*Inventory)(nil)

// Bounds on questions: how many are answered at once, of all and of one caller. Each
// takes the inventory for itself for a moment.
const (
	maxQuestions      = 64
	maxQuestionsOfOne = 8
)

// Bounds on answers.
const (
	defaultLimit = 200
	maxLimit     = 1000
	maxPageBytes = 8 << 20 // one device always fits
	maxCounts    = 50      // of each kind
	maxFound     = 50
	maxChanges   = 500
	maxText      = 512 // of what is looked for, in bytes
)

// begin lets a question in, until end is called.
func (in *Inventory) begin(ctx context.Context) (end func(), err error) {
	slot, err := in.slots.Take(limit.Claim{Key: in.o.Caller(ctx), Known: true, Most: maxQuestionsOfOne})
	switch {
	case errors.Is(err, limit.ErrShare):
		return nil, status.Errorf(codes.ResourceExhausted, "%d questions of yours about devices are being answered: wait for them", maxQuestionsOfOne)
	case err != nil:
		return nil, status.Error(codes.ResourceExhausted, "too many questions about devices are being answered: ask again in a moment")
	}
	return slot.Release, nil
}

// ListDevices implements pb.DevicesServer.
func (in *Inventory) ListDevices(ctx context.Context, req *pb.ListDevicesRequest) (*pb.ListDevicesResponse, error) {
	if len(req.GetUids()) > 0 {
		return in.listUIDs(ctx, req)
	}
	f, err := parseFilter(req.GetFilter())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	token, err := parseToken(req)
	if err != nil {
		return nil, err
	}
	end, err := in.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	limit := int(cmp.Or(min(req.GetLimit(), maxLimit), defaultLimit))
	resp := &pb.ListDevicesResponse{Lacks: in.lacks()}
	in.mu.Lock()
	defer in.mu.Unlock()
	l := in.listing(req.GetFilter(), f)
	resp.Matching, resp.Total, resp.CompleteTo = uint32(len(l.uids)), uint32(in.state.book.Len()), in.state.place
	resp.Down, resp.Revision = l.down, in.revision
	resp.Classes, resp.Vendors, resp.Services = l.classes, l.vendors, l.services
	p := in.pages.page(token, l, in.seenBy)
	bytes := 0
	for i, uid := range p.uids {
		d := in.exact(uid)
		if d == nil || p.list != 0 && !in.takes(f, d, in.o.Now()) {
			continue // it was forgotten, or joined another, or matches no more
		}
		shown := in.brief(d)
		if bytes += proto.Size(shown); len(resp.GetDevices()) >= limit || len(resp.GetDevices()) > 0 && bytes > maxPageBytes {
			resp.NextPageToken = in.pages.next(p, i, in.seenAt(d), req)
			break
		}
		resp.Devices = append(resp.Devices, shown)
	}
	return resp, nil
}

// listUIDs gives the devices that have one of some uids, or had it.
func (in *Inventory) listUIDs(ctx context.Context, req *pb.ListDevicesRequest) (*pb.ListDevicesResponse, error) {
	if len(req.GetUids()) > maxLimit || req.GetFilter()+req.GetPageToken() != "" {
		return nil, status.Errorf(codes.InvalidArgument, "at most %d uids, without filter and page", maxLimit)
	}
	end, err := in.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	resp := &pb.ListDevicesResponse{Lacks: in.lacks()}
	in.mu.Lock()
	defer in.mu.Unlock()
	resp.Total, resp.CompleteTo, resp.Revision = uint32(in.state.book.Len()), in.state.place, in.revision
	seen, bytes := map[string]bool{}, 0
	for _, uid := range req.GetUids() {
		for _, d := range in.state.book.Find(uid) {
			if seen[d.GetUid()] || d.GetUid() != uid && !slices.Contains(d.GetFormerUids(), uid) {
				continue
			}
			seen[d.GetUid()] = true
			shown := in.brief(d)
			if bytes += proto.Size(shown); bytes > maxPageBytes {
				return resp, nil
			}
			resp.Devices = append(resp.Devices, shown)
			resp.Matching++
		}
	}
	return resp, nil
}

// listing is what a filter chooses, those seen last first, as of a moment ago.
type listing struct {
	filter                     string
	at                         time.Time
	uids                       []string
	classes, vendors, services []*pb.DeviceCount
	down                       uint32 // of all devices
}

// Bounds on listings: how long one is used, as one of 100,000 devices takes a tenth of a
// second, and how many are kept.
const (
	listingAge  = time.Second
	maxListings = 8
)

// listing is what a filter chooses now. The caller holds mu.
func (in *Inventory) listing(text string, f filter) *listing {
	now := time.Now()
	in.listings = slices.DeleteFunc(in.listings, func(l *listing) bool { return now.Sub(l.at) >= listingAge })
	for _, l := range in.listings {
		if l.filter == text && in.state.book.Len() > smallBook {
			return l
		}
	}
	found := in.matching(f)
	l := &listing{filter: strings.Clone(text), at: now, uids: make([]string, len(found)), down: uint32(in.state.book.Stats().Gone)}
	for i, d := range found {
		l.uids[i] = d.GetUid()
	}
	in.count(found, l)
	in.listings = append(in.listings[max(0, len(in.listings)-maxListings+1):], l)
	return l
}

// smallBook is of how many devices a list is made anew each time.
const smallBook = 2000

// exact is the device of a uid that it has now; nil where there is none.
func (in *Inventory) exact(uid string) *pb.DeviceInventory {
	for _, d := range in.state.book.Find(uid) {
		if d.GetUid() == uid {
			return d
		}
	}
	return nil
}

// seenBy is when the device of a uid was last seen, Unix seconds; 0 where there is none.
func (in *Inventory) seenBy(uid string) int64 {
	if d := in.exact(uid); d != nil {
		return in.seenAt(d)
	}
	return 0
}

// takes reports whether a filter takes a device.
func (in *Inventory) takes(f filter, d *pb.DeviceInventory, now time.Time) bool {
	m := in.beside(d.GetUid())
	if m.text == "" {
		m.text = textOf(d, m)
	}
	return f.takes(&shown{d: d, m: m, up: in.isUp(d), now: now, text: m.text})
}

// matching are the devices that a filter takes, those seen last first. They belong to
// the Book. The caller holds mu.
func (in *Inventory) matching(f filter) []*pb.DeviceInventory {
	now := in.o.Now()
	found := make([]*pb.DeviceInventory, 0, min(in.state.book.Len(), 4096))
	for d := range in.state.book.Devices() {
		if len(f) > 0 && !in.takes(f, d, now) {
			continue
		}
		found = append(found, d)
	}
	return in.bySeen(found)
}

// bySeen orders devices as they are shown: those seen last first, and of equal ones by uid.
func (in *Inventory) bySeen(devices []*pb.DeviceInventory) []*pb.DeviceInventory {
	type seen struct {
		d  *pb.DeviceInventory
		at int64
	}
	all := make([]seen, len(devices))
	for i, d := range devices {
		all[i] = seen{d, in.seenAt(d)}
	}
	slices.SortFunc(all, func(a, b seen) int {
		return cmp.Or(cmp.Compare(b.at, a.at), strings.Compare(a.d.GetUid(), b.d.GetUid()))
	})
	for i := range all {
		devices[i] = all[i].d
	}
	return devices
}

func (in *Inventory) isUp(d *pb.DeviceInventory) bool { return !in.state.book.Gone(d.GetUid()) }

// count counts what devices have in common.
func (in *Inventory) count(found []*pb.DeviceInventory, l *listing) {
	classes, vendors, services := map[string]uint32{}, map[string]uint32{}, map[string]uint32{}
	var own []string
	for _, d := range found {
		if c := d.GetDeviceClass(); c != "" {
			classes[c]++
		}
		if v := d.GetVendor(); v != "" {
			vendors[v]++
		}
		own = own[:0]
		for _, p := range d.GetPorts() {
			if s := p.GetService(); s != "" && !slices.Contains(own, s) {
				own = append(own, s)
				services[s]++
			}
		}
	}
	l.classes, l.vendors, l.services = topOf(classes), topOf(vendors), topOf(services)
}

// topOf lists counts, the most frequent first.
func topOf(counts map[string]uint32) []*pb.DeviceCount {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
	out := make([]*pb.DeviceCount, 0, min(len(names), maxCounts))
	for _, name := range names[:min(len(names), maxCounts)] {
		out = append(out, &pb.DeviceCount{Name: name, Devices: counts[name]})
	}
	return out
}

// known is all that is known of a device, copied. The caller holds mu.
func (in *Inventory) known(d *pb.DeviceInventory) *pb.KnownDevice {
	k := &pb.KnownDevice{Device: proto.CloneOf(d), Up: in.isUp(d), Observers: in.observersOf(d)}
	if m := in.state.more[d.GetUid()]; m != nil {
		k.Host, k.Findings = m.host, m.found.count(in.o.Now())
		in.seeHost(k)
		if m.reading != nil {
			k.Snmp = proto.CloneOf(m.reading)
		}
	}
	return k
}

// brief is what a list shows of a device: of ports what listens there, of a reading that
// there is one, and no links. FindDevice has the rest.
func (in *Inventory) brief(d *pb.DeviceInventory) *pb.KnownDevice {
	k := &pb.KnownDevice{Up: in.isUp(d), Observers: in.observersOf(d), Device: &pb.DeviceInventory{
		Uid: d.GetUid(), Ip: d.GetIp(), Mac: d.GetMac(), Hostname: d.GetHostname(), Vendor: d.GetVendor(), OsName: d.GetOsName(),
		OsVersion: d.GetOsVersion(), DeviceClass: d.GetDeviceClass(), FirstSeenTime: d.GetFirstSeenTime(), LastSeenTime: d.GetLastSeenTime(),
		Confidence: d.GetConfidence(), Subnet: d.GetSubnet(), Model: d.GetModel(), SerialNumber: d.GetSerialNumber(), Names: d.GetNames(),
		Sources: d.GetSources(), MacRandomized: d.GetMacRandomized(), Plugged: d.GetPlugged(), FormerUids: d.GetFormerUids(),
	}}
	for _, p := range d.GetPorts() {
		k.Device.Ports = append(k.Device.Ports, &pb.Port{
			Port: p.GetPort(), Protocol: p.GetProtocol(), Service: p.GetService(), Product: p.GetProduct(), Version: p.GetVersion(), Cpe: p.GetCpe(), Remarks: p.GetRemarks(),
		})
	}
	k.Device = proto.CloneOf(k.Device)
	if m := in.state.more[d.GetUid()]; m != nil {
		k.Host, k.Findings = m.host, m.found.count(in.o.Now())
		in.seeHost(k)
		if m.reading != nil {
			k.Snmp = &pb.SnmpReading{Target: m.reading.GetTarget(), SysName: m.reading.GetSysName(), Error: m.reading.GetError()}
		}
	}
	return k
}

// seenAt is when a device was last seen, Unix seconds: by observers, or when its own agents
// told of their host, to the minute, which the Book is told now and then only.
func (in *Inventory) seenAt(d *pb.DeviceInventory) int64 {
	at := d.GetLastSeenTime().GetSeconds()
	if m := in.state.more[d.GetUid()]; m != nil && m.host != "" {
		if host := in.state.hosts[m.host]; host != nil && host.uid == d.GetUid() {
			at = max(at, host.seen.Truncate(time.Minute).Unix())
		}
	}
	return at
}

// seeHost has a device seen as seenAt says.
func (in *Inventory) seeHost(k *pb.KnownDevice) {
	if at := in.seenAt(k.GetDevice()); at > k.GetDevice().GetLastSeenTime().GetSeconds() {
		k.Device.LastSeenTime = &timestamppb.Timestamp{Seconds: at}
	}
}

// observersOf are the hosts whose agents saw a device.
func (in *Inventory) observersOf(d *pb.DeviceInventory) []string {
	var hosts []string
	for _, name := range in.state.book.Observers(d.GetUid()) {
		host, _, _ := strings.Cut(name, "/")
		if !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	return hosts
}

// FindDevice implements pb.DevicesServer.
func (in *Inventory) FindDevice(ctx context.Context, req *pb.FindDeviceRequest) (*pb.FindDeviceResponse, error) {
	text := strings.TrimSpace(req.GetText())
	if text == "" || len(text) > maxText {
		return nil, status.Errorf(codes.InvalidArgument, "name a device by its uid, address or name, in at most %d bytes", maxText)
	}
	end, err := in.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	lacks := in.lacks()
	in.mu.Lock()
	defer in.mu.Unlock()
	found := slices.Clone(in.state.book.Find(text))
	if host := in.state.hosts[strings.ToLower(text)]; host != nil && len(found) == 0 {
		found = slices.Clone(in.state.book.Find(host.uid))
	}
	if len(found) == 0 {
		return nil, status.Error(codes.NotFound, notFound(text, lacks))
	}
	in.bySeen(found)
	resp := &pb.FindDeviceResponse{}
	for _, d := range found[:min(len(found), maxFound)] {
		resp.Devices = append(resp.Devices, in.known(d))
		resp.History = append(resp.History, in.historyOf(d.GetUid())...)
	}
	slices.SortStableFunc(resp.GetHistory(), func(a, b *pb.DeviceChange) int {
		return cmp.Or(cmp.Compare(b.GetTime().GetSeconds(), a.GetTime().GetSeconds()), cmp.Compare(b.GetOffset(), a.GetOffset()))
	})
	resp.History = resp.GetHistory()[:min(len(resp.GetHistory()), maxChanges)]
	return resp, nil
}

// notFound says that nobody knows a device, and why that may be.
func notFound(text string, lacks []string) string {
	why := "no device has the uid, address or name \"" + text + "\""
	if len(lacks) > 0 {
		why += " (" + lacks[0] + ")"
	}
	return why
}

func (in *Inventory) historyOf(uid string) []*pb.DeviceChange {
	m := in.state.more[uid]
	if m == nil {
		return nil
	}
	out := make([]*pb.DeviceChange, 0, len(m.history))
	for _, l := range m.history {
		out = append(out, &pb.DeviceChange{
			Time: timestamppb.New(time.Unix(l.At, 0)), DeviceUid: uid, Type: l.Type, Message: l.Text, Offset: l.Offset,
		})
	}
	return out
}
