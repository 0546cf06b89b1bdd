package dashboard

import (
	"encoding/json"
	"math"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestHostileTimesSpoilNoAnswer: a time that JSON has no form for must not take
// the events and agents beside it along.
func TestHostileTimesSpoilNoAnswer(t *testing.T) {
	never := &timestamppb.Timestamp{Seconds: math.MaxInt64}
	encoded, err := event.Encode(&pb.Event{
		Id: make([]byte, 16), Time: never, Type: event.TypeProcessSample,
		Body: &pb.Event_Process{Process: &pb.ProcessActivity{Process: &pb.Process{CreatedTime: never}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := newEvent(&pb.StoredEvent{LoggedTime: timestamppb.Now(), Event: encoded})
	if _, err := json.Marshal(e); err != nil {
		t.Error(err)
	}
	if !e.Time.Equal(e.LoggedTime) {
		t.Errorf("time %v, logged %v", e.Time, e.LoggedTime)
	}
	if _, err := json.Marshal(newAgent(&pb.AgentStatus{StartedTime: never, LastEventTime: never})); err != nil {
		t.Error(err)
	}
}
