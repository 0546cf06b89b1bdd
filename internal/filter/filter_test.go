package filter_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/filter"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func sshFailure() *pb.Event {
	return &pb.Event{
		Id: []byte("0123456789abcdef"), Time: timestamppb.New(time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)),
		Type: "auth.attempt", Severity: pb.Severity_SEVERITY_HIGH,
		Agent: &pb.Agent{Id: "host_agent"}, Host: &pb.Host{Name: "web-1", Ip: []string{"192.0.2.7", "2001:db8::7"}},
		Labels: map[string]string{"site": "Amsterdam"}, Publisher: "spiffe://amoskys.local/agent/web-1",
		Body: &pb.Event_Authentication{Authentication: &pb.Authentication{
			Action: pb.AuthAction_AUTH_ACTION_LOGON, Status: pb.AuthStatus_AUTH_STATUS_FAILURE,
			User: &pb.User{Name: "Éva"}, Service: "sshd", StatusDetail: "invalid user",
			SrcEndpoint: &pb.Endpoint{Ip: "198.51.100.9", Port: 50123},
		}},
	}
}

func TestMatch(t *testing.T) {
	tests := []struct {
		query string
		want  bool
	}{
		{"", true},
		{"*", true},
		{"sshd", true},
		{"SSHD", true},
		{"éva", true},
		{"bob", false},
		{"spiffe", false},
		{"publisher:*/agent/web-1", true},
		{`"invalid user"`, true},
		{"inval*user", true},
		{"type:auth.attempt", true},
		{"type:auth.*", true},
		{"type:process.*", false},
		{"event.action:auth.attempt", true},
		{"host:web-1 sshd", true},
		{"host:WEB-1", true},
		{"host:web", false},
		{"host.ip:192.0.2.0/24", true},
		{"host.ip:2001:db8::7", true},
		{"host.ip:2001:db8::/32", true},
		{"client.ip:198.51.100.9", true},
		{"client.port:50123", true},
		{"client.port:>50000", true},
		{"client.port:<=1024", false},
		{"severity:>=medium", true},
		{"severity:>high", false},
		{"severity:in(low,high)", true},
		{"severity:=high", true},
		{"outcome:failure", true},
		{"labels.site:amsterdam", true},
		{"labels.rack:*", false},
		{"labels:*", true},
		{"service:*", true},
		{"time:>2026-02-03T00:00:00Z", true},
		{"time:<2026-02-03T00:00:00Z", false},
		{`host:~"^web-[0-9]+$"`, true},
		{`host:~^db`, false},
		{"host:db-1 OR host:web-1", true},
		{"host:db-1 or (host:web-1 and -sshd)", false},
		{"NOT host:db-1", true},
		{"!host:web-1", false},
		{"-sshd", false},
		{"- -sshd", true},
		{"web-1", true},
	}
	ev := sshFailure()
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			f, err := filter.Parse(tt.query)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Match(ev); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestParseFaults(t *testing.T) {
	tests := []struct {
		query string
		pos   int
		words string
	}{
		{`"open`, 0, "not closed"},
		{"(a", 2, "closing )"},
		{"a)", 1, "not expected"},
		{"hst:web", 0, "did you mean host?"},
		{"host:", 5, "value is missing"},
		{"host: web", 6, "value is missing"},
		{"severity:>huge", 10, "informational, low, medium, high, critical"},
		{"client.port:>many", 13, "is a number"},
		{"host:>5", 5, "holds text"},
		{"time:>yesterday", 6, "is a time"},
		{`host:~"("`, 6, "regular expression"},
		{"a \xff", 2, "not UTF-8"},
		{"a OR", 4, "not expected"},
		{"OR a", 0, "needs a term"},
		{"host:in(a,", 10, "commas"},
		{"host:in(a b)", 10, "closing )"},
		{strings.Repeat("(", 100), 65, "nested deeper"},
		{strings.Repeat("x", filter.MaxLength+1), filter.MaxLength, "longer than"},
	}
	for _, tt := range tests {
		name := tt.query
		if len(name) > 20 {
			name = name[:20]
		}
		t.Run(name, func(t *testing.T) {
			_, err := filter.Parse(tt.query)
			var se *filter.SyntaxError
			if !errors.As(err, &se) {
				t.Fatalf("got %v, want a syntax error", err)
			}
			if se.Position != tt.pos || !strings.Contains(se.Message, tt.words) {
				t.Errorf("got %q at %d, want %q at %d", se.Message, se.Position, tt.words, tt.pos)
			}
		})
	}
}

func TestRequire(t *testing.T) {
	tests := []struct {
		query string
		want  string
		ok    bool
	}{
		{"type:a", "a", true},
		{"type:a sshd", "a", true},
		{"type:A OR type:b", "a,b", true},
		{"type:in(a,b) host:x", "a,b", true},
		{"type:a OR sshd", "", false},
		{"-type:a", "", false},
		{"type:a*", "", false},
		{"", "", false},
	}
	for _, tt := range tests {
		f, err := filter.Parse(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		vs, ok := f.Require("type")
		if got := strings.Join(vs, ","); got != tt.want || ok != tt.ok {
			t.Errorf("%q: got %q %v, want %q %v", tt.query, got, ok, tt.want, tt.ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, q := range []string{
		"", "a b", `host:"x y" OR (type:auth.* -severity:>=high)`, "host.ip:2001:db8::/32", "client.port:>=1MiB",
		`host:~"^a"`, "host:in(a,b)", "a:b:c", "labels.x:*", "((((", "\"\\", "time:>2026-02-03T00:00:00Z",
	} {
		f.Add(q)
	}
	ev := sshFailure()
	f.Fuzz(func(t *testing.T, q string) {
		flt, err := filter.Parse(q)
		if err != nil {
			var se *filter.SyntaxError
			if !errors.As(err, &se) || se.Position < 0 || se.Position > len(q) {
				t.Fatalf("bad fault: %#v", err)
			}
			return
		}
		flt.Match(ev)
		flt.Require("type")
	})
}
