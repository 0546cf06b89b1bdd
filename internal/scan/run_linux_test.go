package scan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// opens lists what is open as "address:port" and, for AllOpen, "address:all".
func opens(r result) []string {
	var out []string
	for _, h := range r.Hosts {
		if h.AllOpen {
			out = append(out, h.IP.String()+":all")
		}
		for _, p := range h.Ports {
			out = append(out, fmt.Sprintf("%s:%d", h.IP, p.Port))
		}
	}
	slices.Sort(out)
	return out
}

func addresses(r result) []string {
	out := map[string]bool{}
	for _, h := range r.Hosts {
		out[h.IP.String()] = true
	}
	return slices.Sorted(maps.Keys(out))
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: %s; want %s", what, strings.Join(got, " "), strings.Join(want, " "))
	}
}

// TestScan finds hosts and open ports of a segment, each by both methods, and none that
// is not there.
func TestScan(t *testing.T) {
	if testing.Short() {
		t.Skip("a lab of namespaces; -short leaves it out")
	}
	t.Parallel()
	l := newLab(t, 8)
	l.silence(6)
	l.listen(":22", l.host(2)+":80", l.host(6)+":443")
	var want []string
	for i := range 8 {
		if i != 6 {
			want = append(want, l.host(i)+":22")
		}
	}
	want = append(want, l.host(2)+":80")

	r := l.scan(order{Targets: "10.77.0.0/27", Ports: "1-200,443"})
	same(t, "hosts", addresses(r), []string{l.host(0), l.host(1), l.host(2), l.host(3), l.host(4), l.host(5), l.host(6), l.host(7)})
	same(t, "open", opens(r), slices.Clone(want))
	for _, h := range r.Hosts {
		silent := h.IP.String() == l.host(6)
		if h.MAC.String() != "02:00:00:00:00:0b" || h.Interface != "a0" || h.How[0] != "arp" || h.Asked != 201 {
			t.Errorf("%+v", h)
		}
		if silent && (h.Filtered != 201 || h.Stack != nil) {
			t.Errorf("the silent one is %+v", h)
		}
		if !silent && (h.Filtered != 0 || h.Stack == nil || !h.Stack.Open || h.Stack.Options != "MSTNW" || h.Stack.TTL != 64) {
			t.Errorf("%+v, traits %+v", h, h.Stack)
		}
	}
	if r.Progress.Phase != PhaseDone || r.Progress.Method != SYN || r.Progress.Left != 0 || r.Progress.Hosts != 8 || r.Progress.Looked != 32 {
		t.Errorf("%+v", r.Progress)
	}
	t.Logf("%d sent in %s", r.Progress.Sent, r.Took)

	r = l.scan(order{Targets: l.host(0) + "-" + l.host(5), Exclude: l.host(1), Ports: "20-25,80", Method: Connect})
	same(t, "open by connections", opens(r), slices.DeleteFunc(want, func(s string) bool {
		return strings.HasPrefix(s, l.host(1)+":") || strings.HasPrefix(s, l.host(7)+":")
	}))
}

// TestScanWithLoss finds the same over a cable that loses one packet in a hundred.
func TestScanWithLoss(t *testing.T) {
	if testing.Short() {
		t.Skip("a lab of namespaces; -short leaves it out")
	}
	t.Parallel()
	l := newLossyLab(t, 10, 100)
	l.listen(":22", ":80", ":443", ":139", ":445")
	var want []string
	for i := range 10 {
		for _, p := range []string{"22", "80", "443", "139", "445"} {
			want = append(want, l.host(i)+":"+p)
		}
	}
	r := l.scan(order{Targets: l.targets(), Ports: "1-500"})
	same(t, "open", opens(r), want)
	if r.Progress.Loss < 0.005 || r.Progress.Loss > 0.1 {
		t.Errorf("a loss of %.3f, want about 0.02", r.Progress.Loss)
	}
	for _, h := range r.Hosts {
		if h.Closed != 495 {
			t.Errorf("%s: %d closed", h.IP, h.Closed)
		}
	}
	t.Logf("%d sent, %d again in %s, loss %.3f", r.Progress.Sent, r.Progress.Resent, r.Took, r.Progress.Loss)
}
