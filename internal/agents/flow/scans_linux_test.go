package flow

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/scan"
)

// scanHelper scans ports of the neighbour of TestOwnScans.
func scanHelper() error {
	targets, err := scan.ParseTargets("192.0.2.2")
	if err != nil {
		return err
	}
	ports, err := scan.ParsePorts("1-100")
	if err != nil {
		return err
	}
	return scan.Run(context.Background(), scan.Plan{Targets: targets, Ports: ports, Names: true, Method: scan.SYN}, nil, nil)
}

// TestOwnScans: the probes of a scan that this host makes are neither told nor found, and
// both where that is wanted.
func TestOwnScans(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes in namespaces")
	}
	for kind, told := range map[string]bool{"1": false, helperTells: true} {
		t.Run(kind, func(t *testing.T) {
			here, there := newNamespace(t), newNamespace(t)
			ip(t, here, "link set lo up", "link add a0 type veth peer name b0",
				fmt.Sprintf("link set b0 netns /proc/%d/fd/%d", os.Getpid(), there.Fd()),
				"address add 192.0.2.1/24 dev a0", "link set a0 up")
			ip(t, there, "address add 192.0.2.2/24 dev b0", "link set b0 up")
			ip(t, here, "route add default via 192.0.2.2")
			await := startHelper(t, here, kind)
			await("capture", func(l line) bool { return l.Condition == "captures" })

			scanning := exec.Command("/proc/self/exe")
			scanning.Env = append(os.Environ(), helperVariable+"="+helperScans)
			var out strings.Builder
			scanning.Stdout, scanning.Stderr = &out, &out
			if err := inNamespace(here, scanning.Run); err != nil {
				t.Fatalf("the scan: %v: %s", err, out.String())
			}
			hold := connect(t, here, there)
			defer hold()
			found, flows := false, 0
			await("the connection", func(l line) bool {
				found = found || strings.HasPrefix(l.Type, "finding.")
				if l.Type == "flow.created" && l.Port <= 100 {
					flows++
				}
				return l.Type == "flow.created" && l.Port > 1024
			})
			if told && (!found || flows == 0) || !told && (found || flows > 0) {
				t.Errorf("%d flows of the scan are told, a finding: %v", flows, found)
			}
		})
	}
}
