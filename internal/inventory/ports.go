package inventory

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// applyPorts opens, closes and describes ports.
func (b *Book) applyPorts(r *record, o *sighting, t *tally) {
	seen := map[string]bool{}
	for _, p := range o.in.GetPorts() {
		if p.GetPort() == 0 || p.GetPort() > 65535 || p.GetProtocol() != "tcp" && p.GetProtocol() != "udp" {
			continue
		}
		seen[portName(p)] = true
		at := slices.IndexFunc(r.d.GetPorts(), func(q *pb.Port) bool { return samePort(p, q) })
		switch {
		case at >= 0:
			r.describePort(at, p, o, t)
		case len(r.d.GetPorts()) >= b.o.MaxPorts:
			b.stats.Cut++
		default:
			r.d.Ports = append(r.d.Ports, proto.CloneOf(p))
			r.Ports = append(r.Ports, open{Observer: o.observer, Rank: o.rank, At: o.now})
			t.note("ports", "%s opened", portWords(p))
		}
	}
	for i := len(r.d.GetPorts()) - 1; i >= 0; i-- {
		p := r.d.GetPorts()[i]
		if seen[portName(p)] || !o.looked(p.GetProtocol(), p.GetPort()) || o.whole && r.Ports[i].Observer != o.observer {
			continue
		}
		t.note("ports", "%s closed", portWords(p))
		r.d.Ports = slices.Delete(r.d.Ports, i, i+1)
		r.Ports = slices.Delete(r.Ports, i, i+1)
	}
	r.sortPorts()
}

// sortPorts orders ports by number, and what is remembered of them alike.
func (r *record) sortPorts() {
	order := func(x, y *pb.Port) int {
		return cmp.Or(cmp.Compare(x.GetPort(), y.GetPort()), cmp.Compare(x.GetProtocol(), y.GetProtocol()))
	}
	if slices.IsSortedFunc(r.d.GetPorts(), order) {
		return
	}
	type both struct {
		p *pb.Port
		o open
	}
	all := make([]both, len(r.Ports))
	for i, o := range r.Ports {
		all[i] = both{r.d.GetPorts()[i], o}
	}
	slices.SortStableFunc(all, func(x, y both) int { return order(x.p, y.p) })
	for i, x := range all {
		r.d.Ports[i], r.Ports[i] = x.p, x.o
	}
}

func samePort(x, y *pb.Port) bool {
	return x.GetPort() == y.GetPort() && x.GetProtocol() == y.GetProtocol()
}

func portName(p *pb.Port) string { return fmt.Sprintf("%s/%d", p.GetProtocol(), p.GetPort()) }

// portWords names a port with what is there.
func portWords(p *pb.Port) string {
	if what := serviceWords(p); what != "" {
		return portName(p) + " (" + what + ")"
	}
	return portName(p)
}

func serviceWords(p *pb.Port) string {
	return strings.TrimSpace(cmp.Or(clean(p.GetProduct()), clean(p.GetService())) + " " + clean(p.GetVersion()))
}

// describePort folds what is known of a port into it. What belongs to a product goes with
// it: a version of another product says nothing.
func (r *record) describePort(at int, in *pb.Port, o *sighting, t *tally) {
	p, s := r.d.GetPorts()[at], &r.Ports[at]
	better := o.rank >= s.Rank || s.Observer == o.observer || o.now-s.At > stale
	before := proto.CloneOf(p)
	if better {
		*s = open{Observer: o.observer, Rank: o.rank, At: max(s.At, o.now)}
		if in.GetProduct() != "" && p.GetProduct() != in.GetProduct() {
			p.Version, p.Cpe = "", ""
		}
		if in.GetCertificateSha256() != "" && p.GetCertificateSha256() != in.GetCertificateSha256() {
			p.CertificateSubject, p.CertificateIssuer, p.CertificateNotAfter, p.CertificateSelfSigned = "", "", nil, false
		}
		if in.GetHostKey() != "" && p.GetHostKey() != "" && in.GetHostKey() != p.GetHostKey() {
			t.note("host_key", "%s has another host key", portName(p))
		}
		if c := p.GetCertificateSha256(); c != "" && in.GetCertificateSha256() != "" && in.GetCertificateSha256() != c {
			t.note("certificate", "%s has another certificate", portName(p))
		}
		if o.whole || in.GetService() != "" || in.GetBanner() != "" || len(in.GetRemarks()) > 0 {
			p.Remarks = nil // it was asked: those of the newest look stand, be there any or none
		}
		proto.Merge(p, in)
	} else {
		known := proto.CloneOf(p)
		if in.GetProduct() != "" && p.GetProduct() == "" || in.GetProduct() == p.GetProduct() {
			fill := proto.CloneOf(in)
			fill.Remarks = nil
			proto.Merge(p, fill)
			known.Remarks = nil
			proto.Merge(p, known) // what stood before stands
		}
	}
	switch {
	case before.GetProduct() == "" && before.GetVersion() == "" && serviceWords(p) != serviceWords(before):
		t.note("services", "%s is %s", portName(p), serviceWords(p))
	case serviceWords(p) != serviceWords(before):
		t.note("services", "%s is %s, was %s", portName(p), serviceWords(p), serviceWords(before))
	case before.GetHostKey() == "" && p.GetHostKey() != "", before.GetCertificateSha256() == "" && p.GetCertificateSha256() != "",
		before.GetTitle() != p.GetTitle():
		t.note("services", "more is known of %s", portName(p))
	case !slices.Equal(slices.Sorted(slices.Values(before.GetRemarks())), slices.Sorted(slices.Values(p.GetRemarks()))):
		t.note("services", "what %s says of itself is another", portName(p))
	}
}
