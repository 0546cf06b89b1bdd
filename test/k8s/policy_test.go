package k8s

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// end is one end of a connection: a pod, or an address outside of the cluster.
type end struct {
	namespace string
	labels    map[string]string
	addr      netip.Addr // without labels
	node      bool       // it has the network of its node, which policies do not hold
}

// allows says whether policies let from open a connection to a port of to. As Kubernetes
// has it, a pod that no policy selects may do everything, and else what one of them allows
// (networking/v1, NetworkPolicySpec).
func (w *world) allows(from, to end, port int32, protocol corev1.Protocol) (egress, ingress bool) {
	return w.side(from, to, port, protocol, networkingv1.PolicyTypeEgress), w.side(to, from, port, protocol, networkingv1.PolicyTypeIngress)
}

func (w *world) side(of, other end, port int32, protocol corev1.Protocol, kind networkingv1.PolicyType) bool {
	if of.node || of.labels == nil {
		return true
	}
	selected := false
	for _, p := range w.policies {
		if p.Namespace != of.namespace || !slices.Contains(p.Spec.PolicyTypes, kind) || !matches(&p.Spec.PodSelector, of.labels) {
			continue
		}
		selected = true
		if kind == networkingv1.PolicyTypeEgress {
			for _, r := range p.Spec.Egress {
				if portIn(r.Ports, port, protocol) && peerIn(r.To, p.Namespace, other) {
					return true
				}
			}
			continue
		}
		for _, r := range p.Spec.Ingress {
			if portIn(r.Ports, port, protocol) && peerIn(r.From, p.Namespace, other) {
				return true
			}
		}
	}
	return !selected
}

func matches(s *metav1.LabelSelector, of map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(of))
}

func portIn(ports []networkingv1.NetworkPolicyPort, port int32, protocol corev1.Protocol) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		last := p.Port.IntVal
		if p.EndPort != nil {
			last = *p.EndPort
		}
		return *p.Protocol == protocol && port >= p.Port.IntVal && port <= last
	})
}

func peerIn(peers []networkingv1.NetworkPolicyPeer, namespace string, other end) bool {
	return len(peers) == 0 || slices.ContainsFunc(peers, func(p networkingv1.NetworkPolicyPeer) bool {
		if p.IPBlock != nil {
			block, err := netip.ParsePrefix(p.IPBlock.CIDR)
			return err == nil && other.addr.IsValid() && block.Contains(other.addr)
		}
		if other.labels == nil {
			return false
		}
		if p.NamespaceSelector == nil {
			return other.namespace == namespace && matches(p.PodSelector, other.labels)
		}
		return matches(p.NamespaceSelector, map[string]string{"kubernetes.io/metadata.name": other.namespace}) && (p.PodSelector == nil || matches(p.PodSelector, other.labels))
	})
}

// TestPolicies: each pod talks to what it must, and to nothing else.
func TestPolicies(t *testing.T) {
	t.Parallel()
	w := base(t)
	ends := map[string]end{
		"prometheus": {namespace: "monitoring", labels: map[string]string{}},
		"dns":        {namespace: "kube-system", labels: map[string]string{"k8s-app": "kube-dns"}},
		"stranger":   {namespace: "default", labels: map[string]string{}},
		"outside":    {addr: netip.MustParseAddr("198.51.100.7")},
	}
	for i := range w.workloads {
		load := &w.workloads[i]
		ends[load.name] = end{namespace: load.namespace, labels: load.template.Labels, node: load.template.Spec.HostNetwork, addr: netip.MustParseAddr("10.0.0.1")}
	}
	must := strings.Fields(`
		store>eventbus:5000 dashboard>eventbus:5000 dashboard>store:5002 eventbus>store:5002
		eventbus-agent>eventbus:5000 snmp-agent>eventbus:5000 mac-telemetry>eventbus:5000
		proc-agent>eventbus:5000 flow-agent>eventbus:5000 device-scanner>eventbus:5000 node>eventbus:5000
		outside>eventbus:5000 stranger>eventbus:5000 prometheus>eventbus:5000
		outside>dashboard:5001 stranger>dashboard:5001 prometheus>dashboard:5001
		prometheus>eventbus:9090 prometheus>store:9092
		outside>snmp-agent:1162/UDP stranger>snmp-agent:1162/UDP prometheus>snmp-agent:1162/UDP snmp-agent>outside:161/UDP snmp-agent>stranger:161/UDP`)
	for _, name := range []string{"eventbus", "store", "dashboard", "eventbus-agent", "snmp-agent", "mac-telemetry", "proc-agent"} {
		must = append(must, name+">dns:53/UDP", name+">dns:53")
	}
	listens := map[string][]string{
		"eventbus": {"5000", "9090"}, "store": {"5002", "9092"}, "dashboard": {"5001"}, "eventbus-agent": {"50001"}, "snmp-agent": {"50005", "1162/UDP"},
		"mac-telemetry": {"50003"}, "proc-agent": {"50002"}, "dns": {"53", "53/UDP"}, "outside": {"443", "53", "161/UDP"}, "stranger": {"443", "161/UDP"},
	}
	allowed := map[string]bool{}
	for from := range ends {
		for to, ports := range listens {
			for _, port := range ports {
				name := from + ">" + to + ":" + port
				if from == to || from == "dns" || ends[from].node || ends[to].labels == nil && ends[from].labels == nil {
					continue
				}
				egress, ingress := w.permits(ends[from], ends[to], port)
				allowed[name] = egress && ingress
			}
		}
	}
	for _, name := range must {
		from, rest, _ := strings.Cut(name, ">")
		to, port, _ := strings.Cut(rest, ":")
		if egress, ingress := w.permits(ends[from], ends[to], port); !egress || !ingress {
			t.Errorf("%s is not allowed: out %v, in %v", name, egress, ingress)
		}
		delete(allowed, name)
	}
	for name, is := range allowed {
		// What others' pods do outside of our namespaces is not ours to say.
		from, rest, _ := strings.Cut(name, ">")
		to, _, _ := strings.Cut(rest, ":")
		ours := func(e end) bool { return e.namespace == hubNS || e.namespace == agentNS }
		if is && (ours(ends[from]) || ours(ends[to])) {
			t.Errorf("%s is allowed, and nothing needs it", name)
		}
	}
}

// permits is allows with a port as "53/UDP", TCP without a protocol.
func (w *world) permits(from, to end, port string) (egress, ingress bool) {
	var n int32
	protocol := corev1.ProtocolTCP
	number, named, has := strings.Cut(port, "/")
	if has {
		protocol = corev1.Protocol(named)
	}
	if _, err := fmt.Sscan(number, &n); err != nil {
		return false, false
	}
	return w.allows(from, to, n, protocol)
}

// TestWaysOut: hub and store reach nothing outside of the cluster but what an overlay, or a
// value of the chart, opens for them.
func TestWaysOut(t *testing.T) {
	t.Parallel()
	opened, err := decode(kustomized(t, "deploy/k8s-overlays/egress"))
	if err != nil {
		t.Fatal(err)
	}
	v := values(t)
	rule := func(port float64, cidr string) any {
		return map[string]any{
			"ports": []any{map[string]any{"protocol": "TCP", "port": port}},
			"to":    []any{map[string]any{"ipBlock": map[string]any{"cidr": cidr}}},
		}
	}
	v["egress"] = map[string]any{
		"eventbus": []any{rule(5432, "192.0.2.10/32"), rule(443, "192.0.2.20/32")},
		"store":    []any{rule(443, "192.0.2.30/32"), rule(4318, "192.0.2.31/32"), rule(9428, "192.0.2.40/29")},
		"snmp":     []any{map[string]any{"ports": []any{map[string]any{"protocol": "UDP", "port": 1161.0}}}},
	}
	charted, err := decode(rendered(t, v))
	if err != nil {
		t.Fatal(err)
	}
	closed := base(t)
	pod := func(name string) end {
		return end{namespace: hubNS, labels: closed.find(t, hubNS+"/"+name).template.Labels}
	}
	for _, c := range []struct{ from, to, port string }{
		{"eventbus", "192.0.2.10", "5432"},
		{"eventbus", "192.0.2.20", "443"},
		{"store", "192.0.2.30", "443"},
		{"store", "192.0.2.31", "4318"},
		{"store", "192.0.2.47", "9428"},
	} {
		to := end{addr: netip.MustParseAddr(c.to)}
		for name, w := range map[string]*world{"the overlay": opened, "the chart's values": charted} {
			if out, _ := w.permits(pod(c.from), to, c.port); !out {
				t.Errorf("with %s, %s does not reach %s:%s", name, c.from, c.to, c.port)
			}
			if out, _ := w.permits(pod("dashboard"), to, c.port); out {
				t.Errorf("with %s, dashboards reach %s:%s", name, c.to, c.port)
			}
		}
		if out, _ := closed.permits(pod(c.from), to, c.port); out {
			t.Errorf("%s reaches %s:%s without anything", c.from, c.to, c.port)
		}
	}
	if out, _ := charted.permits(pod("snmp-agent"), end{addr: netip.MustParseAddr("192.0.2.50")}, "1161/UDP"); !out {
		t.Error("the SNMP agent does not reach devices at another port")
	}
}

// TestTrustedProxies: nobody is trusted to say who calls, but in the overlay for an ingress
// controller, where nobody else can connect.
func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	const name = "AMOSKYS_SERVER_TRUSTED_PROXIES"
	for _, dir := range []string{"deploy/k8s", "deploy/k8s-overlays/demo", "deploy/k8s-overlays/single-node", "deploy/k8s-overlays/egress"} {
		w, err := decode(kustomized(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		if said := variable(w.find(t, hubNS+"/dashboard"), name); said != "" {
			t.Errorf("%s trusts %s", dir, said)
		}
	}
	w, err := decode(kustomized(t, "deploy/k8s-overlays/ingress"))
	if err != nil {
		t.Fatal(err)
	}
	v := values(t)
	dashboard := v["dashboard"].(map[string]any)
	dashboard["trustedProxies"] = []any{"10.244.0.0/16"}
	dashboard["from"] = []any{map[string]any{"namespaceSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": "ingress-nginx"}}}}
	dashboard["service"].(map[string]any)["type"] = "ClusterIP"
	charted, err := decode(rendered(t, v))
	if err != nil {
		t.Fatal(err)
	}
	for how, w := range map[string]*world{"overlay": w, "chart": charted} {
		load := w.find(t, hubNS+"/dashboard")
		to := end{namespace: hubNS, labels: load.template.Labels}
		if said := variable(load, name); said != "10.244.0.0/16" {
			t.Errorf("%s: it trusts %q", how, said)
		}
		for from, want := range map[string]bool{"ingress-nginx": true, "default": false, hubNS: false} {
			if _, in := w.permits(end{namespace: from, labels: map[string]string{}}, to, "5001"); in != want {
				t.Errorf("%s: from %s: %v", how, from, in)
			}
		}
		if _, in := w.permits(end{addr: netip.MustParseAddr("198.51.100.7")}, to, "5001"); in {
			t.Errorf("%s: anybody may connect", how)
		}
		for _, s := range w.services {
			if s.Name == "dashboard" && (s.Spec.Type != corev1.ServiceTypeClusterIP || s.Spec.ExternalTrafficPolicy != "" || len(s.Spec.LoadBalancerSourceRanges) > 0) {
				t.Errorf("%s: the Service has a way around the ingress: %+v", how, s.Spec)
			}
		}
	}
}
