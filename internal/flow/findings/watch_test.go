package findings

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/flow/dissect"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestFloods(t *testing.T) {
	for _, c := range []struct {
		name string
		play func(*lab)
		want []string
	}{
		{"SYNs from all the world", func(l *lab) {
			for i := range 12000 {
				l.Opened(new(l.tcp(fmt.Sprintf("203.%d.%d.7", i/250%250, i%250), "10.0.0.1", 80, "S0")))
				l.wait(500 * time.Microsecond)
			}
		}, []string{"syn_flood"}},
		{"SYNs from all the world to all ports", func(l *lab) {
			for i := range 12000 {
				l.Opened(new(l.tcp(fmt.Sprintf("203.%d.%d.7", i/250%250, i%250), "10.0.0.1", uint16(1+i), "S0")))
				l.wait(500 * time.Microsecond)
			}
		}, []string{"syn_flood"}},
		{"a busy server", func(l *lab) {
			for i := range 12000 {
				l.Opened(new(l.tcp(fmt.Sprintf("203.%d.%d.7", i/250%250, i%250), "10.0.0.1", 80, "SF")))
				l.wait(500 * time.Microsecond)
			}
		}, nil},
		{"datagrams in one flow", func(l *lab) {
			f := l.udp("10.0.0.2", "10.0.0.1", 9000, false)
			f.Out.Packets, f.Last = 1_200_000, f.First+int64(time.Minute)
			l.Updated(&f)
		}, []string{"udp_flood"}},
		{"a stream that is watched", func(l *lab) {
			f := l.udp("10.0.0.2", "10.0.0.1", 9000, false)
			f.Out.Packets, f.Last = 60_000, f.First+int64(time.Minute)
			l.Updated(&f)
		}, nil},
		{"pings", func(l *lab) {
			f := l.ping("10.0.0.2", "10.0.0.1", true)
			f.Out.Packets, f.Last = 60_000, f.First+int64(time.Minute)
			l.Updated(&f)
		}, []string{"icmp_flood"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab()
			c.play(l)
			if got := l.found(); !slices.Equal(got, c.want) {
				t.Fatalf("found %v, want %v", got, c.want)
			}
		})
	}
}

func TestContent(t *testing.T) {
	at := time.Unix(0, start).UTC()
	with := func(change func(*dissect.TLS)) *dissect.Facts {
		c := &dissect.TLS{
			SNI: "www.example.com", Subject: "CN=www.example.com", SHA256: strings.Repeat("ab", 32),
			NotBefore: at.AddDate(0, -1, 0), NotAfter: at.AddDate(0, 1, 0),
		}
		change(c)
		return &dissect.Facts{App: "tls", TLS: c}
	}
	for _, c := range []struct {
		name  string
		facts *dissect.Facts
		want  []string
		shows string
	}{
		{"good", with(func(*dissect.TLS) {}), nil, ""},
		{"expired", with(func(c *dissect.TLS) { c.NotAfter = at.AddDate(0, 0, -10) }), []string{"certificate_expired"}, "expired 10 days before"},
		{"expired an hour ago", with(func(c *dissect.TLS) { c.NotAfter = at.Add(-time.Hour) }), nil, ""},
		{"of tomorrow's tomorrow", with(func(c *dissect.TLS) { c.NotBefore = at.AddDate(0, 0, 2) }), []string{"certificate_not_yet_valid"}, "valid 2 days later"},
		{
			"self-signed and expired", with(func(c *dissect.TLS) { c.SelfSigned, c.NotAfter = true, at.AddDate(-1, 0, 0) }),
			[]string{"certificate_expired", "certificate_self_signed"},
			"www.example.com",
		},
		{"resumed", &dissect.Facts{App: "tls", TLS: &dissect.TLS{SNI: "www.example.com"}}, nil, ""},
		{"login", &dissect.Facts{App: "ftp", Cleartext: &dissect.Cleartext{Protocol: "ftp", User: "alice"}}, []string{"cleartext_login"}, `by ftp as "alice"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab()
			for range 3 {
				f := l.tcp("10.0.0.2", "10.0.0.1", 443, "SF")
				f.Facts = c.facts
				l.both(f)
			}
			if got := l.found(); !slices.Equal(got, c.want) {
				t.Fatalf("found %v, want %v", got, c.want)
			}
			if len(l.told) != len(c.want) {
				t.Errorf("%d events of %d findings", len(l.told), len(c.want))
			}
			if len(c.want) > 0 && !strings.Contains(l.told[0].GetFinding().GetDescription(), c.shows) {
				t.Errorf("the description lacks %q: %s", c.shows, l.told[0].GetFinding().GetDescription())
			}
			l.wait(2 * time.Minute)
			if len(c.want) > 0 && (len(l.told) != 2*len(c.want) || !strings.Contains(l.told[len(l.told)-1].GetFinding().GetDescription(), ": 3")) {
				t.Errorf("the update does not count 3: %v", l.told[len(l.told)-1])
			}
		})
	}
}

// TestToldOnce: one event when it begins, updates ever more seldom while it grows, and
// a new finding after it was still for a window.
func TestToldOnce(t *testing.T) {
	l := newLab()
	for i := range 4000 {
		l.both(l.tcp("10.0.0.66", "10.0.0.1", uint16(i), "REJ"))
		l.wait(time.Second)
	}
	if len(l.told) < 4 || len(l.told) > 10 {
		t.Fatalf("%d events of a scan that took 4,000 s", len(l.told))
	}
	uid := l.told[0].GetFinding().GetUid()
	for i, e := range l.told {
		want := statusUpdate
		if i == 0 {
			want = statusNew
		}
		if f := e.GetFinding(); f.GetUid() != uid || f.GetStatus() != want {
			t.Errorf("event %d: uid %s, status %s", i, f.GetUid(), f.GetStatus())
		}
	}
	l.wait(2 * time.Hour)
	before := len(l.told)
	for i := range 40 {
		l.both(l.tcp("10.0.0.66", "10.0.0.1", uint16(i), "REJ"))
	}
	if len(l.told) != before+1 || l.told[before].GetFinding().GetUid() == uid {
		t.Errorf("no finding of its own after hours of silence")
	}
}

// TestFloodOfFindings: ten thousand scanners are told in turn, bounded and counted.
func TestFloodOfFindings(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one goroutine")
	}
	l := newLab()
	for s := range 10000 {
		for p := range 20 {
			f := l.tcp(fmt.Sprintf("203.%d.%d.7", s/250, s%250), "10.0.0.1", uint16(p+1), "REJ")
			l.Opened(&f)
		}
		l.at += int64(time.Millisecond)
	}
	s := l.Stats()
	if len(l.told) > 2*30 || s.Suppressed < 9000 || s.Forgotten == 0 {
		t.Errorf("%d told, %+v", len(l.told), s)
	}
	if n := l.scans.quick.Len(); n > DefaultConfig().MaxSources {
		t.Errorf("%d sources are kept", n)
	}
}

// TestNothingHides: however many findings of one kind there are, the first of another is
// told at once.
func TestNothingHides(t *testing.T) {
	l := newLab()
	for i := range 200 {
		f := l.tcp("10.0.0.66", "10.0.0.1", 21, "SF")
		f.Facts = &dissect.Facts{App: "ftp", Confidence: 1, Cleartext: &dissect.Cleartext{Protocol: "ftp", User: fmt.Sprint("user", i)}}
		l.both(f)
	}
	logins := len(l.told)
	for port := range uint16(20) {
		l.both(l.tcp("10.0.0.77", "10.0.0.1", 1000+port, "REJ"))
	}
	if got := l.found(); logins != DefaultConfig().MaxPerMinute || !slices.Contains(got, "port_scan") {
		t.Errorf("%d logins told, then %v", logins, got)
	}
}

// TestClockSetBack: after the clock went back, windows begin anew and go on.
func TestClockSetBack(t *testing.T) {
	l := newLab()
	l.both(l.tcp("10.0.0.2", "10.0.0.1", 80, "SF"))
	l.at -= int64(24 * time.Hour)
	for i := range 200 {
		l.both(l.tcp("10.0.0.66", "10.0.0.1", uint16(1+i), "REJ"))
		l.at += int64(time.Millisecond)
	}
	if got := l.found(); !slices.Equal(got, []string{"port_scan"}) || l.now > l.at {
		t.Errorf("found %v, now is %d s ahead", got, (l.now-l.at)/1e9)
	}
}

// TestEventsAreAdmitted: what is told carries all that the hub and people want.
func TestEventsAreAdmitted(t *testing.T) {
	for k := range kinds {
		p := &profiles[k]
		e := &standing{sighting: sighting{subject: subject{kind: k, source: ip("10.0.0.1"), target: ip("10.0.0.2"), name: "x"}, port: 1}, first: start}
		w := newLab().Watch
		w.now = start
		ev := e.event(statusNew, w)
		f := ev.GetFinding()
		if !event.IsType(ev.GetType()) || p.name == "" || f.GetTitle() == "" || f.GetDescription() == "" || (len(f.GetTechniques()) == 0 || len(f.GetTactics()) == 0) && k < QuietInterface ||
			len(f.GetFalsePositives()) == 0 || f.GetConfidence() <= 0 || ev.GetSeverity() == 0 || len(f.GetObservables()) == 0 {
			t.Errorf("%s lacks something: %v", p.name, ev)
		}
		ev.Agent = &pb.Agent{Id: "flow_agent", Kind: "flow"}
		ev.Id = []byte("0123456789abcdef")
		b, err := event.Encode(ev)
		if err != nil {
			t.Fatal(err)
		}
		envelope, err := event.Inspect(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := envelope.CheckType(event.MakerAgent); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
}

func TestConfig(t *testing.T) {
	good := DefaultConfig()
	v := config.NewCheck()
	good.Validate(v)
	if faults := v.Faults(); len(faults) > 0 {
		t.Fatal(faults)
	}
	bad := DefaultConfig()
	bad.Disabled = []string{"port_scam"}
	bad.TrustedScanners = []string{"10.0.0.1"}
	bad.MaxSources, bad.Scan.Ports, bad.SlowScan.FailedShare = 1, 0, 2
	v = config.NewCheck()
	bad.Validate(v)
	var keys []string
	for _, f := range v.Faults() {
		keys = append(keys, f.Key)
	}
	if want := []string{"disabled[0]", "trusted_scanners[0]", "max_sources", "scan.ports", "slow_scan.failed_share"}; !slices.Equal(keys, want) {
		t.Errorf("faults of %v, want %v", keys, want)
	}
}
