package k8s

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCluster installs the manifests into a cluster and does to them what happens to
// clusters.
func TestCluster(t *testing.T) {
	c := startCluster(t)
	c.volumes()
	c.secrets()
	c.began = time.Now()
	c.must(c.adapt(kustomized(t, "deploy/k8s")), "apply", "-f", "-")
	c.firstEvent()
	c.must(password+"\n", "-n", hubNS, "exec", "-i", "eventbus-0", "--", "/usr/local/bin/amoskys", "user", "add", "ada", "--role", "admin", "--password-stdin")
	c.dashboards(2)
	c.until(2*time.Minute, "the scanner is there", func() error { return c.found("agent.id:device_scanner", 1) })
	c.connections()
	c.secondHub()
	c.killHub()
	c.must("", "-n", hubNS, "scale", "deployment/dashboard", "--replicas=3")
	c.dashboards(3)
	c.upgrade()
	c.outOfMemory()
	c.remove()
	c.chart()
}

// killHub kills the hub while an agent publishes, and finds in its log all that this agent
// was told to be safe, once.
func (c *cluster) killHub() {
	c.t.Helper()
	c.must("", "-n", hubNS, "set", "env", "deployment/mac-telemetry", "-c", "agent", "AMOSKYS_SYNTHETIC_RATE=1000", "AMOSKYS_SYNTHETIC_DURATION_SECONDS=25")
	c.must("", "-n", hubNS, "scale", "deployment/mac-telemetry", "--replicas=1")
	c.must("", "-n", hubNS, "rollout", "status", "deployment/mac-telemetry", "--timeout=120s")
	pod := strings.Fields(c.must("", "-n", hubNS, "get", "pods", "-l", "app.kubernetes.io/name=mac-telemetry", "--field-selector=status.phase=Running", "-o", "name"))[0]
	url, stop := c.forward(hubNS, pod, "50003")
	defer stop()
	c.until(time.Minute, "the generator is heard", func() error {
		s, err := statusOf(url)
		if err != nil || s.Acked < 2000 {
			return fmt.Errorf("%+v: %w", s, err)
		}
		return nil
	})
	before, err := statusOf(url)
	if err != nil {
		c.t.Fatal(err)
	}
	c.must("", "-n", hubNS, "delete", "pod", "eventbus-0", "--grace-period=0", "--force", "--wait=false")
	killed := time.Now()
	c.until(2*time.Minute, "the agent is heard again", func() error {
		s, err := statusOf(url)
		if err != nil || s.Acked <= before.Acked+100 || !s.Hub.Connected {
			return fmt.Errorf("%+v: %w", s, err)
		}
		return nil
	})
	c.t.Logf("the hub was killed at %d acknowledged events; the agent was heard again after %.1f s", before.Acked, time.Since(killed).Seconds())
	c.until(3*time.Minute, "the log has what was acknowledged, and the agent's spool is empty", func() error {
		first, err := statusOf(url)
		if err != nil || first.Spooled > 0 || first.Acked != first.Total || first.Rate > 20 {
			return fmt.Errorf("%+v: %w", first, err)
		}
		all, distinct, err := c.logged("mac_telemetry")
		if err != nil {
			return err
		}
		second, err := statusOf(url)
		if err != nil || second.Acked != first.Acked || all != distinct || uint64(all) != first.Acked {
			return fmt.Errorf("the log has %d events, %d distinct; the agent was told that %d are safe: %w", all, distinct, first.Acked, err)
		}
		c.t.Logf("%d events acknowledged, %d in the log, each once", first.Acked, all)
		return nil
	})
	if out, err := c.amoskys("wal", "verify", "--json"); err != nil || !strings.Contains(out, `"ok":true`) {
		c.t.Errorf("the log is not whole: %v\n%s", err, out)
	}
}

// agentStatus is what the test reads of an agent's /status.
type agentStatus struct {
	Total   uint64  `json:"events_total"`
	Acked   uint64  `json:"events_acked_total"`
	Spooled uint64  `json:"spool_events"`
	Rate    float64 `json:"events_per_second"`
	Hub     struct {
		Connected bool `json:"connected"`
	} `json:"hub"`
}

func statusOf(url string) (s agentStatus, err error) {
	resp, err := http.Get(url + "/status")
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// logged counts an agent's events in the hub's log.
func (c *cluster) logged(agent string) (all, distinct int, err error) {
	out, err := c.amoskys("wal", "dump", "--json")
	if err != nil {
		return 0, 0, fmt.Errorf("%.500s: %w", out, err)
	}
	ids := map[string]bool{}
	for line := range strings.Lines(out) {
		var e struct {
			Event struct {
				ID    string `json:"id"`
				Agent struct {
					ID string `json:"id"`
				} `json:"agent"`
			} `json:"event"`
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.Event.Agent.ID == agent {
			all++
			ids[e.Event.ID] = true
		}
	}
	return all, len(ids), nil
}

// upgrade rolls everything to the next image, and finds accounts, events and agents as they
// were.
func (c *cluster) upgrade() {
	c.t.Helper()
	began := time.Now()
	for ns, loads := range map[string][]string{
		hubNS:   {"statefulset/eventbus", "statefulset/store", "deployment/dashboard", "deployment/eventbus-agent", "deployment/snmp-agent"},
		agentNS: {"daemonset/node", "deployment/device-scanner"},
	} {
		for _, load := range loads {
			c.must("", "-n", ns, "set", "image", load, "*="+c.next)
		}
		for _, load := range loads {
			c.must("", "-n", ns, "rollout", "status", load, "--timeout=180s")
		}
	}
	c.dashboards(3) // with the account of before
	c.t.Logf("everything is upgraded after %.1f s", time.Since(began).Seconds())
	out, err := c.amoskys("agents", "list", "--json")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, want := range []string{"proc_agent", "flow_agent", "device_scanner", "snmp_agent", "eventbus"} {
		if n := strings.Count(out, `"id":"`+want+`"`); n != nodesWith(c, want) {
			c.t.Errorf("%s is there %d times after its pod was made anew:\n%s", want, n, out)
		}
	}
}

func nodesWith(c *cluster, agent string) int {
	if agent != "proc_agent" && agent != "flow_agent" {
		return 1
	}
	return len(strings.Fields(c.must("", "get", "nodes", "-o", "name")))
}

// secondHub starts another hub on the hub's volume, which is refused.
func (c *cluster) secondHub() {
	c.t.Helper()
	hub := base(c.t).find(c.t, hubNS+"/eventbus")
	spec := hub.template.Spec
	spec.RestartPolicy = "Never"
	spec.Containers[0].Image = c.image
	text, err := json.Marshal(spec)
	if err != nil {
		c.t.Fatal(err)
	}
	volume := `"volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"data-eventbus-0"}},`
	c.must(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"second-hub","namespace":"`+hubNS+`"},"spec":`+strings.Replace(string(text), `"volumes":[`, volume, 1)+`}`, "apply", "-f", "-")
	defer func() { _, _ = c.kubectl("", "-n", hubNS, "delete", "pod", "second-hub", "--wait=false") }()
	c.until(time.Minute, "the second hub has ended", func() error {
		out, err := c.kubectl("", "-n", hubNS, "get", "pod", "second-hub", "-o", "jsonpath={.status.phase} {.status.containerStatuses[0].state.terminated.message}")
		if err != nil || !strings.HasPrefix(out, "Failed") || !strings.Contains(out, "locked") {
			return fmt.Errorf("%s: %w", out, err)
		}
		return nil
	})
}

// outOfMemory gives a store less than it takes, and reads why it ended.
func (c *cluster) outOfMemory() {
	c.t.Helper()
	const limits = `{"spec":{"template":{"spec":{"containers":[{"name":"store","resources":{"requests":{"memory":"48Mi"},"limits":{"memory":"48Mi"}}}]}}}}`
	c.must("", "-n", hubNS, "patch", "statefulset", "store", "--type=strategic", "-p", limits)
	c.until(3*time.Minute, "the store is told that its memory is used up", func() error {
		out, err := c.kubectl("", "-n", hubNS, "get", "pod", "store-0", "-o", "jsonpath={.status.containerStatuses[0].lastState.terminated}{.status.containerStatuses[0].state.terminated}")
		logs, _ := c.kubectl("", "-n", hubNS, "logs", "store-0", "--tail=30")
		if err != nil || !strings.Contains(out+logs, "memory") {
			return fmt.Errorf("%s\n%s: %w", out, logs, err)
		}
		c.t.Logf("a store with too little memory: %.600s", out)
		return nil
	})
}

// chart does the first steps again with Helm, where bin/helm is there.
func (c *cluster) chart() {
	c.t.Helper()
	helm, err := filepath.Abs(filepath.Join(top, "bin", "helm"))
	if _, statErr := os.Stat(helm); err != nil || statErr != nil {
		c.t.Log("the chart was not installed: make bin/helm builds what it takes")
		return
	}
	for _, name := range []string{"eventbus", "store"} {
		_, _ = c.kubectl("", "delete", "persistentvolume", "amoskys-test-"+name, "--timeout=60s")
		os.RemoveAll(filepath.Join(c.dir, name))
	}
	os.RemoveAll(c.host)
	c.volumes()
	c.must("", "apply", "-f", filepath.Join(c.dir, "secret-tls.yaml"))
	c.began = time.Now()
	args := []string{"install", "amoskys", filepath.Join(top, "deploy/helm/amoskys"), "--namespace", hubNS, "--set", "image=" + c.image, "--set", "hostPath=" + c.host}
	if addr := os.Getenv("CLUSTER_DNS"); addr != "" {
		args = append(args, "--set", "dns[0].ipBlock.cidr="+addr+"/32")
	}
	if out, err := exec.CommandContext(c.t.Context(), helm, args...).CombinedOutput(); err != nil {
		c.t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	c.firstEvent()
	c.must(password+"\n", "-n", hubNS, "exec", "-i", "eventbus-0", "--", "/usr/local/bin/amoskys", "user", "add", "ada", "--role", "admin", "--password-stdin")
	c.dashboards(2)
	if out, err := exec.CommandContext(c.t.Context(), helm, "uninstall", "amoskys", "--namespace", hubNS).CombinedOutput(); err != nil {
		c.t.Errorf("helm uninstall: %v\n%s", err, out)
	}
}
