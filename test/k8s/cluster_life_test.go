package k8s

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	c.account()
	c.dashboards(2)
	c.until(2*time.Minute, "the scanner is there", func() error { return c.found("agent.id:device_scanner", 1) })
	c.connections()
	c.badPods()
	c.killHub()
	c.must("", "-n", hubNS, "scale", "deployment/dashboard", "--replicas=3")
	c.dashboards(3)
	c.upgrade()
}

// account makes that of a person.
func (c *cluster) account() {
	c.t.Helper()
	c.must(password+"\n", "-n", hubNS, "exec", "-i", "eventbus-0", "--", "/usr/local/bin/amoskys", "user", "add", "ada", "--role", "admin", "--password-stdin")
}

// killHub kills the hub while an agent publishes, and finds in its log all that this agent
// has made, once.
func (c *cluster) killHub() {
	c.t.Helper()
	spec := base(c.t).find(c.t, hubNS+"/mac-telemetry").template.Spec
	spec.Containers[0].Env = append(spec.Containers[0].Env, corev1.EnvVar{Name: "AMOSKYS_SYNTHETIC_RATE", Value: "1000"},
		corev1.EnvVar{Name: "AMOSKYS_SYNTHETIC_DURATION_SECONDS", Value: "25"})
	c.pod("load", spec)
	url, stop := "", func() {}
	defer func() { stop() }()
	c.until(2*time.Minute, "the generator publishes", func() error {
		if out, err := c.kubectl("", "-n", hubNS, "get", "pod", "load", "-o", "jsonpath={.status.phase}"); err != nil || out != "Running" {
			return fmt.Errorf("%s: %w", out, err)
		}
		if url == "" {
			url, stop = c.forward(hubNS, "load", "50003")
		}
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
	said := ""
	c.until(2*time.Minute, "the generator has ended, and got rid of all", func() error {
		var err error
		if said, err = c.kubectl("", "-n", hubNS, "logs", "load", "-c", "agent", "--tail=20"); err != nil || !strings.Contains(said, "remaining=0") {
			return fmt.Errorf("%s: %w", said, err)
		}
		return nil
	})
	made := complete.FindStringSubmatch(said)
	if made == nil {
		c.t.Fatalf("the generator does not say how many events there are:\n%s", said)
	}
	all, distinct, err := c.logged("mac_telemetry")
	if err != nil || fmt.Sprint(all) != made[1] || all != distinct {
		c.t.Errorf("%s events were made and acknowledged; the log has %d, %d distinct: %v", made[1], all, distinct, err)
	}
	c.t.Logf("%s events made, all acknowledged, %d in the log, each once", made[1], all)
	if out, err := c.amoskys("wal", "verify"); err != nil {
		c.t.Errorf("the log is not whole: %v\n%s", err, out)
	}
}

// complete is what the generator says at its end.
var complete = regexp.MustCompile(`synthetic events are complete.* events=(\d+)`) //nolint:gochecknoglobals // a pattern

// pod starts one in the namespace of hub and store that ends by itself.
func (c *cluster) pod(name string, spec corev1.PodSpec) {
	c.t.Helper()
	spec.RestartPolicy = corev1.RestartPolicyNever
	for i := range spec.InitContainers {
		spec.InitContainers[i].Image = c.image
	}
	spec.Containers[0].Image = c.image
	text, err := json.Marshal(corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: hubNS, Labels: map[string]string{"app.kubernetes.io/component": "agent", "app.kubernetes.io/part-of": "amoskys"}},
		Spec:       spec,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.must(string(text), "apply", "-f", "-")
}

// agentStatus is what the test reads of an agent's /status.
type agentStatus struct {
	Acked uint64 `json:"events_acked_total"`
	Hub   struct {
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

// logged counts an agent's events in the hub's log, without what it says of its own health.
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
				Type  string `json:"type"`
				Agent struct {
					ID string `json:"id"`
				} `json:"agent"`
			} `json:"event"`
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.Event.Agent.ID == agent && e.Event.Type != "agent.health" {
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

// TestClusterChart does the first steps with Helm.
func TestClusterChart(t *testing.T) {
	c := startCluster(t)
	program := helm(t)
	c.volumes()
	c.secrets()
	c.began = time.Now()
	args := []string{"install", "amoskys", filepath.Join(top, "deploy/helm/amoskys"), "--namespace", hubNS, "--set", "image=" + c.image, "--set", "hostPath=" + c.host}
	if addr := os.Getenv("CLUSTER_DNS"); addr != "" {
		args = append(args, "--set", "dns[0].ipBlock.cidr="+addr+"/32")
	}
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	c.firstEvent()
	c.account()
	c.dashboards(2)
	if out, err := exec.CommandContext(t.Context(), program, "uninstall", "amoskys", "--namespace", hubNS).CombinedOutput(); err != nil {
		t.Errorf("helm uninstall: %v\n%s", err, out)
	}
}
