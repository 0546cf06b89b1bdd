package flow

import (
	"testing"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestOwnedFlows: flows whose end is never told make room, and one that is told of again
// and again is remembered.
func TestOwnedFlows(t *testing.T) {
	var o ownedFlows
	long := &pb.Process{Pid: 1}
	for i := range 3 * maxOwned {
		if i%1000 == 0 {
			o.keep(flowKey{"long", 1}, long)
		}
		o.keep(flowKey{"1:x", int64(i)}, &pb.Process{Pid: 2})
	}
	if n := len(o.young) + len(o.old); n > maxOwned {
		t.Errorf("%d flows are remembered", n)
	}
	if o.of(flowKey{"long", 1}) != long || o.of(flowKey{"1:x", 3*maxOwned - 1}) == nil || o.of(flowKey{"1:x", 0}) != nil {
		t.Error("the wrong flows are remembered")
	}
	o.forget(flowKey{"long", 1})
	if o.of(flowKey{"long", 1}) != nil {
		t.Error("a flow that ended is remembered")
	}
}
