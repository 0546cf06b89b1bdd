package tell

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Marks are what people say of devices, by the uids that they said it of. Nil has none.
type Marks map[string]*pb.DeviceMark

// NewMarks makes Marks of a list.
func NewMarks(list []*pb.DeviceMark) Marks {
	m := make(Marks, len(list))
	for _, one := range list {
		m[one.GetDeviceUid()] = one
	}
	return m
}

// Of is what people say of a device, under its uid and those that it had: it is known if
// somebody said so, the first owner and note that there are stand, and all tags. Nil is
// nothing.
func (m Marks) Of(d *pb.DeviceInventory) *pb.DeviceMark {
	if len(m) == 0 {
		return nil
	}
	said := m[d.GetUid()]
	for _, former := range d.GetFormerUids() {
		was := m[former]
		switch {
		case was == nil || former == d.GetUid():
		case said == nil:
			said = was
		default:
			said = joined(said, was)
		}
	}
	return said
}

// joined is what the hub makes of two marks of one device, too (package marks of the hub).
func joined(is, was *pb.DeviceMark) *pb.DeviceMark {
	m := proto.CloneOf(is)
	m.Known = is.GetKnown() || was.GetKnown()
	m.Owner, m.Note = cmp.Or(is.GetOwner(), was.GetOwner()), cmp.Or(is.GetNote(), was.GetNote())
	for _, tag := range was.GetTags() {
		if !slices.ContainsFunc(m.GetTags(), func(t string) bool { return strings.EqualFold(t, tag) }) {
			m.Tags = append(m.Tags, tag)
		}
	}
	return m
}

// Before names the uids that a device had under which something is said of it; nil where
// there are none.
func (m Marks) Before(d *pb.DeviceInventory) *pb.FormerUids {
	var said []string
	for _, former := range d.GetFormerUids() {
		if m[former] != nil && former != d.GetUid() {
			said = append(said, former)
		}
	}
	if len(said) == 0 {
		return nil
	}
	return &pb.FormerUids{DeviceUid: d.GetUid(), FormerUids: said}
}
