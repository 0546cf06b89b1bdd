package k8s

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// connection is one that is open, as the side that opened it sees it.
type connection struct {
	from, to netip.Addr
	port     uint16
}

// connections holds each TCP connection of the pods, as the kernel of this machine has
// them, against the policies. Where this machine is no node there are none to be seen.
func (c *cluster) connections() {
	c.t.Helper()
	var pods corev1.PodList
	var services corev1.ServiceList
	for into, kind := range map[any]string{&pods: "pods", &services: "services"} {
		if err := json.Unmarshal([]byte(c.must("", "get", kind, "-A", "-o", "json")), into); err != nil {
			c.t.Fatal(err)
		}
	}
	ends := map[netip.Addr]end{}
	for _, p := range pods.Items {
		if addr, err := netip.ParseAddr(p.Status.PodIP); err == nil && !p.Spec.HostNetwork {
			ends[addr] = end{namespace: p.Namespace, labels: p.Labels, addr: addr}
		}
	}
	behind := map[netip.Addr]end{}
	for _, s := range services.Items {
		addr, err := netip.ParseAddr(s.Spec.ClusterIP)
		for _, e := range ends {
			if err == nil && len(s.Spec.Selector) > 0 && e.namespace == s.Namespace && has(e.labels, s.Spec.Selector) {
				behind[addr] = e
			}
		}
	}
	w, err := decode([]byte(c.adapt(kustomized(c.t, "deploy/k8s"))))
	if err != nil {
		c.t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 10 { // some are short
		for _, conn := range open(ends) {
			from, to := ends[conn.from], end{addr: conn.to}
			if e, is := ends[conn.to]; is {
				to = e
			} else if e, is := behind[conn.to]; is {
				to = e
			}
			name := fmt.Sprintf("%s > %s %s:%d", from.labels["app.kubernetes.io/name"], to.labels["app.kubernetes.io/name"], conn.to, conn.port)
			if from.labels["app.kubernetes.io/part-of"] != "amoskys" || seen[name] {
				continue
			}
			seen[name] = true
			if egress, ingress := w.allows(from, to, int32(conn.port), corev1.ProtocolTCP); !egress || !ingress {
				c.t.Errorf("%s is open, and no policy allows it (out %v, in %v)", name, egress, ingress)
			}
		}
		<-time.After(300 * time.Millisecond)
	}
	if len(seen) == 0 {
		c.t.Log("no connection of a pod is to be seen from this machine: the policies were held against the table of policy_test.go alone")
		return
	}
	var names []string
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	c.t.Logf("%d connections, each allowed by the policies:\n%s", len(names), strings.Join(names, "\n"))
}

func has(labels, want map[string]string) bool {
	for k, v := range want {
		if labels[k] != v {
			return false
		}
	}
	return true
}

// open are the TCP connections that pods have opened, of each network namespace of this
// machine once.
func open(pods map[netip.Addr]end) []connection {
	var all []connection
	looked := map[string]bool{}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range processes {
		namespace, err := os.Readlink(dir + "/ns/net")
		if err != nil || looked[namespace] {
			continue
		}
		looked[namespace] = true
		var rows []connection
		listening := map[uint16]bool{}
		for _, file := range []string{"/net/tcp", "/net/tcp6"} {
			text, err := os.ReadFile(dir + file)
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(text)) {
				// sl local_address rem_address st (proc(5)); 0A is listening, 01 established.
				f := strings.Fields(line)
				if len(f) < 4 {
					continue
				}
				local, port, ok1 := socketAddr(f[1])
				remote, remotePort, ok2 := socketAddr(f[2])
				switch {
				case !ok1 || !ok2:
				case f[3] == "0A":
					listening[port] = true
				case f[3] == "01" && !remote.IsLoopback():
					if _, ours := pods[local]; ours {
						rows = append(rows, connection{local, remote, remotePort})
						if listening[port] {
							rows = rows[:len(rows)-1] // somebody else opened it
						}
					}
				}
			}
		}
		all = append(all, rows...)
	}
	return all
}

// socketAddr reads an address as the kernel writes it: words of 32 bits in the order of the
// machine, which is little-endian wherever we run, and the port.
func socketAddr(s string) (netip.Addr, uint16, bool) {
	text, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(text)
	number, err2 := hex.DecodeString(port)
	if err != nil || err2 != nil || len(number) != 2 || len(raw)%4 != 0 {
		return netip.Addr{}, 0, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.BigEndian.PutUint32(raw[i:], binary.LittleEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	return addr.Unmap(), binary.BigEndian.Uint16(number), ok
}
