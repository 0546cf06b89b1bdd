package scan

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseTargets(t *testing.T) {
	for _, c := range []struct {
		in    []string
		want  string
		count uint64
		fault string
	}{
		{in: []string{"10.0.0.0/24"}, want: "10.0.0.0/24", count: 256},
		{in: []string{"10.0.0.7/24"}, want: "10.0.0.0/24", count: 256},
		{in: []string{"10.0.0.1-20"}, want: "10.0.0.1-10.0.0.20", count: 20},
		{in: []string{"10.0.0.250-10.0.1.5"}, want: "10.0.0.250-10.0.1.5", count: 12},
		{in: []string{"10.0.1.0/24", "10.0.0.0/24", "10.0.0.9"}, want: "10.0.0.0/23", count: 512},
		{in: []string{"fe80::1", "10.0.0.1"}, want: "10.0.0.1, fe80::1", count: 2},
		{in: []string{"::ffff:10.0.0.1"}, want: "10.0.0.1", count: 1},
		{in: []string{"::ffff:10.0.0.0/120"}, want: "10.0.0.0/24", count: 256},
		{in: []string{"::ffff:10.0.0.0/90"}, fault: "96 bits at least"},
		{in: []string{"2001:db8::/32"}, want: "2001:db8::/32", count: 1<<64 - 1},
		{in: []string{"10.0.0.20-1"}, fault: "ends before it begins"},
		{in: []string{"10.0.0.1-300"}, fault: "neither an address nor"},
		{in: []string{"10.0.0.1-::1"}, fault: "ends before it begins"},
		{in: []string{"fe80::1%eth0"}, fault: "want an address"},
		{in: []string{"", "x/8"}, fault: `"x/8"`},
	} {
		got, err := ParseTargets(c.in...)
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%q: %v, want %q", c.in, err, c.fault)
			}
			continue
		}
		if err != nil || got.String() != c.want || got.Count() != c.count {
			t.Errorf("%q: %s, %d, %v", c.in, got, got.Count(), err)
		}
	}
	all, _ := ParseTargets("10.0.0.0/30", "255.255.255.254-255.255.255.255")
	if n := len(slices.Collect(all.All())); n != 6 {
		t.Errorf("%d addresses", n)
	}
	if !all.Contains(netip.MustParseAddr("10.0.0.3")) || all.Contains(netip.MustParseAddr("10.0.0.4")) || all.Contains(netip.MustParseAddr("::1")) {
		t.Error("Contains is wrong")
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		targets string
		adjust  func(*Plan)
		want    string
	}{
		{targets: "192.168.0.0/16"},
		{targets: "10.0.0.0/8", want: "16777216 addresses are more than the 65536 that one scan may look at; name smaller subnets, such as 10.0.0.0/16"},
		{targets: "10.0.0.0/8", adjust: func(p *Plan) { p.MostAddresses = 1 << 24 }},
		{targets: "10.0.0.0/20", adjust: func(p *Plan) { p.MostAddresses = 300 }, want: "such as 10.0.0.0/24"},
		{targets: "8.8.8.0/24", want: "public addresses"},
		{targets: "8.8.8.0/24", adjust: func(p *Plan) { p.AllowPublic = true }},
		{targets: "0.0.0.0/0", want: "addresses of many hosts"},
		{targets: "224.0.0.1", want: "addresses of many hosts"},
		{targets: "fe80::/64"},
		{targets: "2a00::/64", want: "public addresses"},
		{targets: "10.0.0.1", adjust: func(p *Plan) { p.Rate = -1 }, want: "a rate or a timeout is below 0"},
		{targets: "10.0.0.1", adjust: func(p *Plan) { p.Method = "fin" }, want: `method "fin"`},
	} {
		targets, err := ParseTargets(c.targets)
		if err != nil {
			t.Fatal(err)
		}
		p := Plan{Targets: targets}
		if c.adjust != nil {
			c.adjust(&p)
		}
		err = p.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.targets, err, c.want)
		}
	}
	if err := (&Plan{}).Validate(); err == nil {
		t.Error("no targets are right")
	}
	var many *TooManyError
	wide, _ := ParseTargets("10.0.0.0/8")
	if err := (&Plan{Targets: wide}).Validate(); !errors.As(err, &many) || many.Have != 1<<24 {
		t.Errorf("%v", err)
	}
}

func TestParsePorts(t *testing.T) {
	for text, want := range map[string]string{
		"22,80": "22,80", "80,22,80": "22,80", "1-3,3-5": "1-5", "": "", " 22 , 80 - 81": "22,80-81", "65535": "65535", "-": "1-65535",
	} {
		if got, err := ParsePorts(text); err != nil || FormatPorts(got) != want {
			t.Errorf("%q: %s, %v", text, FormatPorts(got), err)
		}
	}
	if _, err := ParsePorts("22,80-22"); err == nil || !strings.Contains(err.Error(), "write 22-80") {
		t.Errorf("a range that goes down: %v", err)
	}
	for _, text := range []string{"0", "65536", "5-4", "5-0", "x", "1-2-3", "-5"} {
		if got, err := ParsePorts(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func TestPortOrder(t *testing.T) {
	for _, n := range []string{"1-1000", "-", "80", "7000-7001", "1-2"} {
		ports, err := ParsePorts(n)
		if err != nil {
			t.Fatal(err)
		}
		order := portOrder(ports)
		if n == "1-1000" && order[0] != 80 {
			t.Errorf("first is %d", order[0])
		}
		slices.Sort(order)
		if !slices.Equal(order, ports) {
			t.Errorf("%s: not each port once", n)
		}
	}
}

func TestHours(t *testing.T) {
	at := func(clock string) time.Time {
		d, err := time.ParseInLocation("2006-01-02 15:04", "2026-05-06 "+clock, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, c := range []struct {
		hours, now, next string
	}{
		{"", "03:00", "2026-05-06 03:00"},
		{"22:00-06:00", "03:00", "2026-05-06 03:00"},
		{"22:00-06:00", "06:00", "2026-05-06 22:00"},
		{"09:00-17:30", "17:29", "2026-05-06 17:29"},
		{"09:00-17:30", "17:30", "2026-05-07 09:00"},
		{"09:00-17:30", "08:00", "2026-05-06 09:00"},
	} {
		h, err := ParseHours(c.hours)
		if err != nil || h.String() != c.hours {
			t.Fatal(err, h)
		}
		if got := h.Next(at(c.now)).Format("2006-01-02 15:04"); got != c.next {
			t.Errorf("%s at %s: %s, want %s", c.hours, c.now, got, c.next)
		}
	}
	for _, bad := range []string{"9-17", "09:00", "25:00-26:00", "09:00-09:00"} {
		if _, err := ParseHours(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestPayloads(t *testing.T) {
	for _, port := range append(UsualUDP(), 9) {
		if len(payload(port)) == 0 {
			t.Errorf("port %d: empty", port)
		}
	}
}

// TestProgressMeanwhile: who takes a host long keeps nobody from asking how far it is.
func TestProgressMeanwhile(t *testing.T) {
	var s *scanner
	hosts := 0
	s = newScanner(Plan{}, func(Host) {
		hosts++
		if p := s.progress(); p.Phase != PhaseHosts {
			t.Errorf("%+v", p)
		}
	})
	s.deliver(&Host{})
	if hosts != 1 {
		t.Errorf("%d hosts", hosts)
	}
}

// TestPaused: outside of its hours a scan waits, says until when, and ends with its
// context.
func TestPaused(t *testing.T) {
	targets, err := ParseTargets("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := newScanner(Plan{Targets: targets, Hours: Hours{22 * 60, 6 * 60}}, nil)
		noon := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
		began := time.Now()
		s.now = func() time.Time { return noon.Add(time.Since(began)) }
		waited := make(chan error, 1)
		go func() { waited <- s.permitted(t.Context()) }()
		synctest.Wait()
		if p := s.progress(); p.Phase != PhasePaused || p.Resume.Hour() != 22 {
			t.Errorf("%+v", p)
		}
		if err := <-waited; err != nil || time.Since(began) != 10*time.Hour {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if p := s.progress(); p.Phase != PhaseHosts {
			t.Errorf("%+v", p)
		}
		began = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := s.permitted(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestHoursWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hours := Hours{From: (time.Now().Hour()*60 + 90) % 1440, To: (time.Now().Hour()*60 + 100) % 1440}
		if err := hours.Wait(t.Context()); err != nil || !hours.Allow(time.Now()) {
			t.Errorf("%s, error %v", time.Now(), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := Pause(ctx, 11*time.Minute); err != nil {
			t.Fatal(err)
		}
		if hours.Wait(ctx) == nil {
			t.Error("outside of the hours")
		}
	})
}

func TestTooWide(t *testing.T) {
	t.Parallel()
	all, err := ParseTargets("10.0.0.0/8", "2001:db8::/64", "fd00::/120")
	if got := all.TooWide().String(); err != nil || got != "2001:db8::/64" {
		t.Errorf("too wide: %s, %v", got, err)
	}
}
