package hub

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestPublishAndSubscribe(t *testing.T) {
	h := startHub(t, "")
	s := publishStream(t, h.dial(t, "agent"), "proc_agent")
	first := exchange(t, s, &pb.PublishRequest{
		ProducerId: sixteen(1), Sequence: 1,
		Events: [][]byte{makeEvent(t, "a"), makeEvent(t, "b")},
	})
	if first.GetStatus() != pb.PublishAck_STATUS_OK || first.GetAccepted() != 2 || first.GetFirstOffset() != 0 {
		t.Errorf("first ack: %v", first)
	}
	second := exchange(t, s, &pb.PublishRequest{ProducerId: sixteen(1), Sequence: 2, Events: [][]byte{makeEvent(t, "c")}})
	if second.GetFirstOffset() != 2 || second.GetSequence() != 2 {
		t.Errorf("second ack: %v", second)
	}
	again := exchange(t, s, &pb.PublishRequest{ProducerId: sixteen(1), Sequence: 1, Events: [][]byte{makeEvent(t, "a")}})
	if !again.GetDuplicate() || again.GetStatus() != pb.PublishAck_STATUS_OK {
		t.Errorf("ack of a batch sent again: %v", again)
	}
	events, gaps, next := h.readAll(t, &pb.SubscribeRequest{})
	if diff := cmp.Diff([]string{"a", "b", "c"}, messages(t, events)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if len(gaps) != 0 || next != 3 {
		t.Errorf("gaps %v, next offset %d", gaps, next)
	}
	for i, e := range events {
		if e.GetOffset() != uint64(i) || e.GetPublisher() == "" || e.GetLoggedTime() == nil {
			t.Errorf("event %d came with offset %d, publisher %q, logged time %v", i, e.GetOffset(), e.GetPublisher(), e.GetLoggedTime())
		}
	}
}
