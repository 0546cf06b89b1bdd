package hub

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func now() *timestamppb.Timestamp { return timestamppb.Now() }

func TestPublishEvent(t *testing.T) {
	h := startHub(t, "")
	client := pb.NewEventBusClient(h.dial(t, "agent"))
	tests := []struct {
		name  string
		event *pb.Event
		want  codes.Code
		say   string
	}{
		{"good", &pb.Event{Id: sixteen(1), Time: now(), Type: "a.b", Host: ownHost}, codes.OK, ""},
		{"again", &pb.Event{Id: sixteen(1), Time: now(), Type: "a.b", Host: ownHost}, codes.OK, "duplicate"},
		{"another", &pb.Event{Id: sixteen(2), Time: now(), Type: "a.b", Host: ownHost}, codes.OK, ""},
		{"without id", &pb.Event{Time: now(), Type: "a.b", Host: ownHost}, codes.InvalidArgument, "NO_ID"},
		{"without time", &pb.Event{Id: sixteen(3), Type: "a.b", Host: ownHost}, codes.InvalidArgument, "NO_TIME"},
		{"without type", &pb.Event{Id: sixteen(3), Time: now()}, codes.InvalidArgument, "NO_TYPE"},
		{"too large", &pb.Event{Id: sixteen(3), Time: now(), Type: "a.b", Host: ownHost, Message: strings.Repeat("x", 1<<20)}, codes.InvalidArgument, "TOO_LARGE"},
		{"large", &pb.Event{Id: sixteen(4), Time: now(), Type: "a.b", Host: ownHost, Message: strings.Repeat("x", 1<<19)}, codes.OK, ""},
		{"a day late", &pb.Event{Id: sixteen(5), Time: timestamppb.New(time.Now().Add(-25 * time.Hour)), Type: "a.b", Host: ownHost}, codes.OK, ""},
	}
	var offsets []uint64
	for _, tt := range tests {
		ack, err := client.PublishEvent(t.Context(), tt.event)
		if status.Code(err) != tt.want {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		switch {
		case err != nil:
			if !strings.Contains(err.Error(), tt.say) {
				t.Errorf("%s: %v does not say %s", tt.name, err, tt.say)
			}
		case ack.GetDuplicate() != (tt.say == "duplicate"):
			t.Errorf("%s: %v", tt.name, ack)
		case !ack.GetDuplicate():
			offsets = append(offsets, ack.GetFirstOffset())
		}
	}
	if !slices.Equal(offsets, []uint64{0, 1, 2, 3}) {
		t.Errorf("offsets %v", offsets)
	}
	if got := h.metric(t, "eventbus_skewed_events_total"); got != 1 {
		t.Errorf("%v events counted as skewed", got)
	}
	events, _, _ := h.readAll(t, &pb.SubscribeRequest{})
	skew := events[3].GetLoggedTime().AsTime().Sub(decode(t, events[3]).GetTime().AsTime())
	if skew < 24*time.Hour {
		t.Errorf("the skew is not to be seen: logged time and time are %v apart", skew)
	}
}

func TestPublishEventIsKnownAfterRestart(t *testing.T) {
	h := startHub(t, "")
	ev := &pb.Event{Id: sixteen(1), Time: now(), Type: "a.b", Host: ownHost}
	if _, err := pb.NewEventBusClient(h.dial(t, "agent")).PublishEvent(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	if err := h.stopNow(); err != nil {
		t.Fatal(err)
	}
	h = startHub(t, h.home)
	ack, err := pb.NewEventBusClient(h.dial(t, "agent")).PublishEvent(t.Context(), ev)
	if err != nil || !ack.GetDuplicate() {
		t.Errorf("the same event after a restart: %v, %v", ack, err)
	}
}
