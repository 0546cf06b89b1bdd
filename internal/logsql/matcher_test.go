package logsql

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func encoded(tb testing.TB, at time.Time) []byte {
	tb.Helper()
	b, err := event.Encode(&pb.Event{
		Id: []byte("0123456789abcdef"), Time: timestamppb.New(at), Type: "process.execution", Host: &pb.Host{Name: "Web-1", Ip: []string{"192.0.2.7"}},
		Agent: &pb.Agent{Id: "proc"}, Severity: pb.Severity_SEVERITY_HIGH, Labels: map[string]string{"site": "berlin"},
		Body: &pb.Event_Process{Process: &pb.ProcessActivity{Process: &pb.Process{
			Pid: 42, Name: "curl", Executable: "/usr/bin/curl", CmdLine: "curl -o /tmp/x https://example.org", Args: []string{"curl", "-o", "/tmp/x"},
		}}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestLiveTimes: a time that is relative to now means events from then on.
func TestLiveTimes(t *testing.T) {
	now := time.Now()
	for query, want := range map[string][3]bool{ // of an event an hour ago, now, in a minute
		"time:5m": {false, true, true}, "time:2h": {true, true, true}, "time:<5m": {false, true, true}, "time:>5m": {true, false, false},
		"-time:5m": {true, false, false}, "time:>=2020-01-01T00:00:00Z": {true, true, true}, "time:<2020": {false, false, false}, "*": {true, true, true},
	} {
		q, err := Parse(query)
		if err != nil {
			t.Fatal(err)
		}
		m, err := q.Matcher()
		if err != nil {
			t.Fatal(err)
		}
		for i, at := range []time.Time{now.Add(-time.Hour), now, now.Add(time.Minute)} {
			if got := m.Match(encoded(t, at), "", 1, now); got != want[i] {
				t.Errorf("%s, event %d: %v", query, i, got)
			}
		}
	}
}

func TestLiveRefuses(t *testing.T) {
	for query, want := range map[string]error{
		"a | count()": ErrPipes, "* | filter pid:1": ErrPipes, "pid:in(a | fields pid)": ErrSubquery, "-(pid:contains_any(a | fields pid))": ErrSubquery,
	} {
		q, err := Parse(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.Matcher(); !errors.Is(err, want) {
			t.Errorf("%s: %v", query, err)
		}
	}
	q, err := Parse("pid:1")
	if err != nil {
		t.Fatal(err)
	}
	m, err := q.Matcher()
	if err != nil || m.Match([]byte("no event"), "", 0, time.Time{}) {
		t.Errorf("what is no event matches: %v", err)
	}
}

func TestAnd(t *testing.T) {
	for query, want := range map[string]string{
		"": "pid:1", "*": "pid:1", "a or b": "(a or b) pid:1", "a | count()": "(a) pid:1 | count()", "a # c": "(a # c\n) pid:1", " # c": "pid:1",
		"pid:in(a | fields pid)": "(pid:in(a | fields pid)) pid:1", "* | top 3 by (host)": "pid:1 | top 3 by (host)", `"a | b"`: `("a | b") pid:1`, "a;": "(a) pid:1",
	} {
		got := And(query, "pid:1")
		if got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
		if _, err := Parse(got); err != nil {
			t.Errorf("%s: %v", got, err)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	event := encoded(b, time.Unix(1_700_000_000, 0))
	for _, query := range []string{"type:process.execution process.name:=curl", "sshd", "severity:>=medium", "host.ip:192.0.2.0/24", "process.command_line:~\"curl .*sh\"", "labels.site:berlin"} {
		b.Run(query, func(b *testing.B) {
			q, err := Parse(query)
			if err != nil {
				b.Fatal(err)
			}
			m, err := q.Matcher()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				m.Match(event, "spiffe://amoskys.local/agent/web-1/proc", 1, time.Unix(1_700_000_000, 0))
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for _, query := range []string{"sshd", "type:process.execution process.name:curl host:web-1", "* | stats by (host, time:1h) count() n"} {
		b.Run(query, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(query); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
