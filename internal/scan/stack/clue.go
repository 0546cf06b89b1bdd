package stack

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/scan/probe"
)

// Clue is what one source says of a host: a service that names its system, a name in a
// certificate, a model in an announcement. What is empty is not said.
type Clue struct {
	OS, OSVersion string
	Vendor, Model string
	// Class is one of Classes.
	Class string
	// Name is a host name.
	Name string
	// Source says who says so, for people: "OpenSSH on port 22/tcp".
	Source string
}

// sentence is a clue as evidence.
func (c Clue) sentence() string {
	var says []string
	for _, part := range []string{c.Vendor, c.Model, strings.TrimSpace(c.OS + " " + c.OSVersion), c.Class} {
		if part != "" {
			says = append(says, part)
		}
	}
	return c.Source + " says " + strings.Join(says, ", ")
}

// Features are what rules can look at. Those of ports, and evidence, have a line for
// each.
func Features() []string {
	return []string{
		"tcp", "ttl", "vendor", "model", "os", "name", "evidence", "dhcp", "ports", "service", "product", "title", "server",
		"banner", "certificate", "clue",
	}
}

// featuresOf writes a device as texts.
func featuresOf(d *pb.DeviceInventory, t *probe.Traits, clues []Clue) map[string]string {
	f := map[string]string{}
	put := func(name, text string) {
		if text == "" {
			return
		}
		if f[name] != "" {
			f[name] += "\n"
		}
		f[name] += text
	}
	if t != nil {
		put("ttl", strconv.Itoa(initialTTL(t.TTL)))
		if t.Open {
			put("tcp", tcpText(t))
		}
	}
	put("vendor", d.GetVendor())
	put("model", d.GetModel())
	put("os", d.GetOsName())
	put("name", d.GetHostname())
	for _, n := range d.GetNames() {
		put("name", n)
	}
	for _, e := range d.GetEvidence() {
		put("evidence", e)
		if list, ok := strings.CutPrefix(e, "asks by DHCP for the options "); ok {
			put("dhcp", list)
		}
	}
	for _, p := range d.GetPorts() {
		put("ports", fmt.Sprintf("%s/%d", p.GetProtocol(), p.GetPort()))
		if !Unproven(p) { // a guess by the number of a port proves nothing of its host
			put("service", p.GetService())
		}
		put("product", p.GetProduct())
		put("title", p.GetTitle())
		put("server", p.GetServer())
		put("banner", p.GetBanner())
		put("certificate", p.GetCertificateSubject())
	}
	for _, c := range clues {
		put("clue", c.sentence())
	}
	return f
}

// UnprovenByPort is the remark of a service that was named by its port alone; unproven is
// what those of all guesses begin with.
const (
	UnprovenByPort = unproven + ": named by its port alone"
	unproven       = "not confirmed"
)

// Unproven reports whether the service of a port is a guess: nothing that it answered is
// of that service.
func Unproven(p *pb.Port) bool {
	return slices.ContainsFunc(p.GetRemarks(), func(r string) bool { return strings.HasPrefix(r, unproven) })
}

// tcpText writes what a SYN-ACK shows: "ttl=64 df=1 window=65160 mss=1460 scale=7
// options=MSTNW".
func tcpText(t *probe.Traits) string {
	df := 0
	if t.DontFragment {
		df = 1
	}
	return fmt.Sprintf("ttl=%d df=%d window=%d mss=%d scale=%d options=%s", initialTTL(t.TTL), df, t.Window, t.MSS, t.Scale, t.Options)
}

// initialTTL is what a packet was sent with: systems use 32, 64, 128 or 255, and few
// ways have more than 32 hops.
func initialTTL(left uint8) int {
	for _, n := range []int{32, 64, 128} {
		if int(left) <= n {
			return n
		}
	}
	return 255
}
