package hub

import (
	"fmt"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/amoskys/amoskys/internal/hub/weigh"
)

// messageBound is what one message that the hub decodes may be: its bytes on the
// wire, and what it takes in memory.
type messageBound struct {
	wire    int
	decoded int
}

// anyMessage bounds requests that have no bound of their own: a few names, times
// and numbers. Batches and events are not decoded; admit.Rules bounds those.
func anyMessage() messageBound { return messageBound{wire: 64 << 10, decoded: 512 << 10} }

// messageBounds are those of the messages that may be larger.
func messageBounds() map[protoreflect.FullName]messageBound {
	return map[protoreflect.FullName]messageBound{
		// 256 agents, each with a long reason, or the lines of a log, of which a
		// node reads 512 KiB.
		"amoskys.v1.NodeMessage": {wire: 1 << 20, decoded: 3 << 20},
		// 256 KiB of a task's result, and what it is.
		"amoskys.v1.TaskChunk": {wire: 264 << 10, decoded: 512 << 10},
		// 256 certificates, each with a signing request.
		"amoskys.v1.RenewCertificatesRequest": {wire: 768 << 10, decoded: 1 << 20},
		// 10,000 uids of devices.
		"amoskys.v1.SetMarksRequest": {wire: 1 << 20, decoded: 3 << 20},
	}
}

// listBounds are the lists that may have more or fewer elements than listElements.
func listBounds() map[protoreflect.FullName]int {
	return map[protoreflect.FullName]int{
		"amoskys.v1.NodeHello.agents":    256,
		"amoskys.v1.AgentReport.agents":  256,
		"amoskys.v1.CommandResult.lines": 2000,

		"amoskys.v1.SetMarksRequest.device_uids": 10_000,
	}
}

const listElements = 1000

// scales weigh messages, each type by a plan that is made when it first comes.
// Types are those of the served methods, so their number is bounded.
type scales struct {
	bounds map[protoreflect.FullName]messageBound
	lists  map[protoreflect.FullName]int
	plans  sync.Map // of *weigh.Plan by protoreflect.FullName
}

func newScales() *scales { return &scales{bounds: messageBounds(), lists: listBounds()} }

// check says whether an encoded message may be decoded. Its errors are weigh's.
func (s *scales) check(d protoreflect.MessageDescriptor, encoded []byte) error {
	bound, ok := s.bounds[d.FullName()]
	if !ok {
		bound = anyMessage()
	}
	if len(encoded) > bound.wire {
		return fmt.Errorf("%w: %s has %d bytes, at most %d are allowed", weigh.ErrTooHeavy, d.FullName(), len(encoded), bound.wire)
	}
	plan, ok := s.plans.Load(d.FullName())
	if !ok {
		plan, _ = s.plans.LoadOrStore(d.FullName(), weigh.NewPlan(d, weigh.Limits{
			Decoded: bound.decoded, Elements: listElements, Lists: s.lists,
		}))
	}
	return plan.(*weigh.Plan).Check(encoded) //nolint:forcetypeassert // it holds nothing else
}
