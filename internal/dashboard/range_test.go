package dashboard_test

import (
	"net/url"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/dashboard"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestOverviewIsOfItsRange: lists and counts are of the time that is asked for, also
// of one that is over, and what the hub itself found is among the findings.
func TestOverviewIsOfItsRange(t *testing.T) {
	s := newSite(t)
	old, recent := samples("old", 3), samples("recent", 2)
	past := time.Now().Add(-2 * time.Hour)
	for i, ev := range old {
		ev.Time = timestamppb.New(past.Add(time.Duration(i) * time.Second))
	}
	finding := &pb.Event{
		Id: []byte("finding-00000001"), Time: timestamppb.Now(), Type: "finding.hub.silent_host", Severity: pb.Severity_SEVERITY_MEDIUM,
		Host: &pb.Host{Name: "web-1"}, Message: "web-1 is silent",
	}
	replayed := &pb.Event{
		Id: []byte("finding-00000002"), Time: timestamppb.Now(), Type: "finding.flow.port_scan", Severity: pb.Severity_SEVERITY_HIGH,
		Labels: map[string]string{"capture": "synscan.pcap"}, Message: "an exercise",
	}
	s.hub.bus.publish(append(append(old, recent...), replayed, finding)...)
	c := s.signedIn(t, "viewer")
	ask := func(since, until string) (o dashboard.Overview) {
		t.Helper()
		q := url.Values{"since": {since}, "until": {until}}
		if code := c.do("GET", "/api/overview?"+q.Encode(), nil, &o); code != 200 {
			t.Fatalf("%v: %d", q, code)
		}
		return o
	}
	if o := ask("15m", ""); len(o.Recent) != 4 || o.Findings.Total != 1 || o.Findings.BySeverity["medium"] != 1 ||
		len(o.Findings.Newest) != 1 || o.Findings.Newest[0].Message != "web-1 is silent" || o.Top.Processes[0].Name != "recent" {
		t.Errorf("of now: %+v %+v", o.Findings, o.Top)
	}
	if o := ask(past.Add(-time.Minute).Format(time.RFC3339), past.Add(time.Minute).Format(time.RFC3339)); len(o.Recent) != 3 ||
		o.Findings.Total != 0 || o.Status.State != "ok" {
		t.Errorf("of then: %d events, %+v, %+v", len(o.Recent), o.Findings, o.Status)
	}
	if code := c.do("GET", "/api/overview?since=soon", nil, nil); code != 400 {
		t.Errorf("a range that is none: %d", code)
	}
}

// TestWithoutAType: a type is left out of a search whatever the query is, and a query
// that is wrong is so by itself.
func TestWithoutAType(t *testing.T) {
	s := newSite(t)
	exits := samples("cron", 2)
	for i, ev := range exits {
		ev.Id, ev.Type = []byte("exit-0000000000"+string(rune('0'+i))), "process.exit"
	}
	s.hub.bus.publish(append(samples("nginx", 5), exits...)...)
	c := s.signedIn(t, "viewer")
	for query, want := range map[string]uint64{"": 2, "cron": 2, "nginx OR cron": 2, "nginx": 0, "type:=process.sample": 0} {
		var found dashboard.EventsAnswer
		q := url.Values{"query": {query}, "without": {"process.sample"}}
		if code := c.do("GET", "/api/events?"+q.Encode(), nil, &found); code != 200 || found.Total != want {
			t.Errorf("%q: %d, %d events, want %d", query, code, found.Total, want)
		}
	}
	for query, position := range map[string]int{"a) OR (b": 1, "type:": 5, `"a`: 0, "(a": 2} {
		var p dashboard.Problem
		q := url.Values{"query": {query}, "without": {"process.sample"}}
		if code := c.do("GET", "/api/events?"+q.Encode(), nil, &p); code != 400 || p.QueryPosition == nil || *p.QueryPosition != position {
			t.Errorf("%q: %d, %+v", query, code, p)
		}
	}
	if code := c.do("GET", "/api/events?without=)(", nil, nil); code != 400 {
		t.Errorf("what is no type: %d", code)
	}
	b := c.tab(t)
	b.say(`{"op":"subscribe","id":"1","topic":"events","query":"","without":"process.sample","from":0}`)
	m := b.until("the exits", func(m *message) bool { return len(m.Events) > 0 })
	if len(m.Events) != 2 || m.Events[0].Type != "process.exit" {
		t.Errorf("live: %+v", m.Events)
	}
}
