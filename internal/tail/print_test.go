package tail

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestFlat(t *testing.T) {
	enc, err := event.Encode(&pb.Event{
		Id: []byte("0123456789abcdef"), Type: "process.execution", Time: &timestamppb.Timestamp{Seconds: 1}, Host: &pb.Host{Name: "web-1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		schema event.Schema
		want   string
	}{
		{event.SchemaECS, `{"@timestamp":"1970-01-01T00:00:01Z","event.action":"process.execution","event.id":"30313233-3435-3637-3839-616263646566","host.name":"web-1"}`},
		{event.SchemaOCSF, `{"device.hostname":"web-1","metadata.uid":"30313233-3435-3637-3839-616263646566","time":"1970-01-01T00:00:01Z","type_name":"process.execution"}`},
	}
	for _, tt := range tests {
		t.Run(string(tt.schema), func(t *testing.T) {
			var b strings.Builder
			if err := Flat(&b, tt.schema)(&pb.StoredEvent{Event: enc}); err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(b.String()); got != tt.want {
				t.Errorf("got %s", got)
			}
			if err := Flat(&b, tt.schema)(&pb.StoredEvent{Event: []byte{0xff}}); err == nil {
				t.Error("what is no event is printed")
			}
		})
	}
}
