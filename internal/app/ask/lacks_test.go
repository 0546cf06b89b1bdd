package ask

import (
	"testing"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestLacksOfLaterPages: what a later page lacks is told as well, and what all lack once.
func TestLacksOfLaterPages(t *testing.T) {
	a := &asker{}
	removed := &pb.Lack{Place: "log", Count: 3, Reason: "removed"}
	a.note([]*pb.Lack{removed, {Place: "log", Count: 4, Reason: "removed"}}, false) // two of one answer
	a.note([]*pb.Lack{removed, {Place: "store", Reason: "a node is away"}}, true)
	a.note([]*pb.Lack{{Place: "store", Reason: "a node is away"}}, false)
	if len(a.lacks) != 3 || a.lacks[2].GetReason() != "a node is away" || !a.thinned {
		t.Errorf("%v", a.lacks)
	}
}
