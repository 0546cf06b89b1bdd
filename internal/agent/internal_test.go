package agent

import (
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/agent/uplink"
)

func TestMeter(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	m := &meter{started: start}
	for s := range 60 {
		m.add(10, start.Add(time.Duration(s)*time.Second))
	}
	total, last, rate := m.read(start.Add(60 * time.Second))
	if total != 600 || !last.Equal(start.Add(59*time.Second)) || rate != 10 {
		t.Errorf("total %d, last %v, rate %v", total, last, rate)
	}
	if _, _, rate := m.read(start.Add(75 * time.Second)); rate != 5 {
		t.Errorf("rate %v a quarter of a minute later, want 5", rate)
	}
	if _, _, rate := m.read(start.Add(time.Hour)); rate != 0 {
		t.Errorf("rate %v an hour later", rate)
	}
	m.add(30, start.Add(-time.Hour)) // the clock was set back
	if total, _, rate := m.read(start.Add(-time.Hour + time.Second)); total != 630 || rate <= 0 {
		t.Errorf("after the clock was set back: total %d, rate %v", total, rate)
	}
}

func TestStatesAndConditions(t *testing.T) {
	var k stateKeeper
	k.set("starting")
	k.condition("b", errors.New("two"))
	if state, _ := k.read(); state != "starting" {
		t.Errorf("state %s", state)
	}
	k.set("running")
	k.condition("a", errors.New("one"))
	if state, reasons := k.read(); state != "degraded" || strings.Join(reasons, ",") != "a: one,b: two" {
		t.Errorf("state %s, reasons %v", state, reasons)
	}
	k.condition("a", nil)
	k.condition("b", nil)
	k.note("b", "2 of them")
	k.note("a", "1 of them")
	if state, reasons := k.read(); state != "running" || reasons != nil {
		t.Errorf("state %s, reasons %v", state, reasons)
	}
	if got := strings.Join(k.remarks(), ","); got != "a: 1 of them,b: 2 of them" {
		t.Errorf("notes %s", got)
	}
	k.note("a", "")
	if got := strings.Join(k.remarks(), ","); got != "b: 2 of them" {
		t.Errorf("notes %s", got)
	}
}

func TestHubFault(t *testing.T) {
	now := time.Now()
	tests := []struct {
		name  string
		state uplink.State
		want  string
	}{
		{"connected", uplink.State{Connected: true, Since: now.Add(-time.Hour)}, ""},
		{"just gone", uplink.State{Since: now.Add(-time.Second), LastError: "x"}, ""},
		{"long gone", uplink.State{Addr: "hub:1", Since: now.Add(-time.Minute), LastError: "refused"}, "not connected to hub:1: refused"},
		{"put off just now", uplink.State{Connected: true, WaitSince: now.Add(-time.Second), WaitReason: "full"}, ""},
		{"put off for long", uplink.State{Addr: "hub:1", Connected: true, WaitSince: now.Add(-time.Minute), WaitReason: "the hub's disk is full"}, "hub:1 takes no events: the hub's disk is full"},
		{
			"gone while it put off",
			uplink.State{Addr: "hub:1", Since: now.Add(-time.Minute), LastError: "refused", WaitSince: now.Add(-time.Hour)},
			"not connected to hub:1: refused",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := hubFault(tt.state, now); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAckTimes(t *testing.T) {
	var a ackTimes
	for _, ms := range []int{1, 4, 2000, 60_000} {
		a.add(time.Duration(ms) * time.Millisecond)
	}
	count, sum, buckets := a.histogram()
	if count != 4 || sum < 62 || buckets[0.001] != 1 || buckets[0.005] != 2 || buckets[10] != 3 {
		t.Errorf("count %d, sum %v, buckets %v", count, sum, buckets)
	}
	if a.mean() <= 0 {
		t.Error("no mean")
	}
}

func TestPortHolder(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := portHolder(l.Addr().(*net.TCPAddr).Port)
	if _, err := os.Stat("/proc/net/tcp"); err == nil && !strings.HasSuffix(got, "(process "+strconv.Itoa(os.Getpid())+")") {
		t.Errorf("holder %q", got)
	}
}

func TestMachine(t *testing.T) {
	a, b := Machine(), Machine()
	if a.GetName() == "" || len(a.GetId()) != 32 || a.GetId() != b.GetId() || a.GetOsType() == "" || len(a.GetIp()) > maxHostIPs {
		t.Errorf("machine %v", a)
	}
	if id := machineID(); id != "" && strings.Contains(a.GetId(), id) {
		t.Error("the machine id is shown")
	}
}

// TestAContainersHostID: without a machine id the host is known by the name in its
// certificate, whatever the container is called; with one the name does not matter.
func TestAContainersHostID(t *testing.T) {
	if hostID("", "web-1") == hostID("", "web-2") || hostID("0123", "web-1") != hostID("0123", "web-2") {
		t.Error("ids do not follow what they are made from")
	}
	h := MachineNamed("web-1")
	if want := hostID(machineID(), "web-1"); h.GetName() != "web-1" || h.GetId() != want || h.GetOsType() == "" {
		t.Errorf("host %v, want id %s", h, want)
	}
}
