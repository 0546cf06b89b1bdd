package tell

import (
	"testing"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestMarks: what was said under former uids is joined with what is said now.
func TestMarks(t *testing.T) {
	m := NewMarks([]*pb.DeviceMark{
		{DeviceUid: "old", Known: true, Owner: "IT", Tags: []string{"lab"}},
		{DeviceUid: "now", Owner: "HR", Note: "by the door", Tags: []string{"LAB", "new"}},
		{DeviceUid: "other", Note: "x"},
	})
	for _, c := range []struct {
		d    *pb.DeviceInventory
		want *pb.DeviceMark
		were int
	}{
		{&pb.DeviceInventory{Uid: "now", FormerUids: []string{"older", "old"}}, &pb.DeviceMark{Known: true, Owner: "HR", Note: "by the door", Tags: []string{"LAB", "new"}}, 1},
		{&pb.DeviceInventory{Uid: "newer", FormerUids: []string{"old"}}, &pb.DeviceMark{Known: true, Owner: "IT", Tags: []string{"lab"}}, 1},
		{&pb.DeviceInventory{Uid: "other", FormerUids: []string{"other"}}, &pb.DeviceMark{Note: "x"}, 0},
		{&pb.DeviceInventory{Uid: "nobody"}, nil, 0},
	} {
		got := m.Of(c.d)
		if (got == nil) != (c.want == nil) || got.GetKnown() != c.want.GetKnown() || got.GetOwner() != c.want.GetOwner() || got.GetNote() != c.want.GetNote() ||
			len(got.GetTags()) != len(c.want.GetTags()) {
			t.Errorf("%v: %v, want %v", c.d, got, c.want)
		}
		if n := len(m.Before(c.d).GetFormerUids()); n != c.were {
			t.Errorf("%v: %d uids of before, want %d", c.d, n, c.were)
		}
	}
	if len(m["now"].GetTags()) != 2 {
		t.Error("joining changed what was said")
	}
	if Marks(nil).Of(&pb.DeviceInventory{Uid: "a"}) != nil {
		t.Error("no marks say something")
	}
}
