package tail

import (
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
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
			if err := Flat(&b, tt.schema)(&reader.Event{Encoded: enc}); err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(b.String()); got != tt.want {
				t.Errorf("got %s", got)
			}
			if err := Flat(&b, tt.schema)(&reader.Event{Encoded: []byte{0xff}}); err == nil {
				t.Error("what is no event is printed")
			}
		})
	}
}

// TestTextNamesThePublisher where nobody would guess it, and who saw what.
func TestTextNamesThePublisher(t *testing.T) {
	vm, web := &pb.Host{Name: "VM."}, &pb.Host{Name: "web-1"}
	for name, tt := range map[string]struct {
		event     *pb.Event
		publisher string
		want      string
	}{
		"itself":         {&pb.Event{Host: vm}, "spiffe://amoskys.local/agent/vm", "  vm  a  t.x  m"},
		"its agent":      {&pb.Event{Host: vm}, "spiffe://amoskys.local/agent/vm/a", "  vm  a  t.x  m"},
		"an observer":    {&pb.Event{Host: web, Observer: vm}, "spiffe://amoskys.local/agent/vm", "  about web-1, seen by vm  a  t.x  m"},
		"of a device":    {&pb.Event{About: &pb.Device{Ip: []string{"192.0.2.1"}}, Observer: vm}, "spiffe://amoskys.local/agent/vm", "  about 192.0.2.1, seen by vm  a  t.x  m"},
		"another host":   {&pb.Event{Host: vm}, "spiffe://amoskys.local/agent/evilhost", "  vm  a  t.x  m  [from spiffe://amoskys.local/agent/evilhost]"},
		"another agent":  {&pb.Event{Host: vm}, "spiffe://amoskys.local/agent/vm/b", "  vm  a  t.x  m  [from spiffe://amoskys.local/agent/vm/b]"},
		"false observer": {&pb.Event{Host: web, Observer: web}, "spiffe://amoskys.local/agent/vm", "  about web-1, seen by web-1  a  t.x  m  [from spiffe://amoskys.local/agent/vm]"},
	} {
		tt.event.Type, tt.event.Message, tt.event.Agent = "t.x", "m", &pb.Agent{Id: "a"}
		enc, err := event.Encode(tt.event)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := Text(&b, false)(&reader.Event{Encoded: enc, Publisher: tt.publisher}); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(strings.TrimSuffix(b.String(), "\n"), tt.want) || strings.Count(b.String(), "[from") != strings.Count(tt.want, "[from") {
			t.Errorf("%s: %q, want %q", name, b.String(), tt.want)
		}
	}
}

// TestTextInColour: colours are ours alone, and where there are none the line is the same.
func TestTextInColour(t *testing.T) {
	enc, err := event.Encode(&pb.Event{
		Id: []byte("0123456789abcdef"), Type: "auth.attempt", Time: &timestamppb.Timestamp{Seconds: 1},
		Severity: pb.Severity_SEVERITY_CRITICAL, Host: &pb.Host{Name: "web-1"}, Agent: &pb.Agent{Id: "a\x1b[32m"}, Message: "one",
	})
	if err != nil {
		t.Fatal(err)
	}
	var plain, coloured strings.Builder
	for b, paint := range map[*strings.Builder]cli.Painter{&plain: false, &coloured: true} {
		if err := Text(b, paint)(&reader.Event{Encoded: enc}); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(coloured.String(), "\x1b[35mcritical     \x1b[0m") || strings.Contains(coloured.String(), "\x1b[32m") {
		t.Errorf("%q", coloured.String())
	}
	if got := regexp.MustCompile("\x1b\\[[0-9]+m").ReplaceAllString(coloured.String(), ""); got != plain.String() {
		t.Errorf("without its colours it is %q, want %q", got, plain.String())
	}
}
