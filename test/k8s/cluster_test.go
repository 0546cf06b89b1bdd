package k8s

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// cluster is the one that $KUBECONFIG names.
type cluster struct {
	t       *testing.T
	dir     string // of this run
	host    string // folder of nodes, in place of /var/lib/amoskys-agent
	program string // amoskys, as the image has it
	image   string
	next    string // the same, as an upgrade
	began   time.Time
}

// startCluster skips where nobody wants to run in a cluster.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	if os.Getenv("RUN_K8S") == "" {
		t.Skip("installs into a cluster: make test-k8s")
	}
	if os.Getenv("KUBECONFIG") == "" {
		t.Skip("$KUBECONFIG names no cluster")
	}
	dir, err := os.MkdirTemp("/var/tmp", "amoskys-k8s-") //nolint:usetesting // nodes mount folders of it
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // pods of other users look into it
		t.Fatal(err)
	}
	c := &cluster{t: t, dir: dir, host: filepath.Join(dir, "nodes"), image: "amoskys:latest", next: "amoskys:next"}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if out, err := c.kubectl("", "get", "namespace", hubNS, agentNS, "--ignore-not-found", "-o", "name"); err != nil || out != "" {
		t.Skipf("the cluster does not answer, or AMOSKYS is there already: %s %v", out, err)
	}
	c.loadImage()
	return c
}

// loadImage builds this tree's program and image, and loads it where $CTR says how; else
// nodes have $IMAGE.
func (c *cluster) loadImage() {
	c.program = os.Getenv("PROGRAM")
	if c.program == "" {
		c.shell(fmt.Sprintf("tools/build-programs.sh linux/%s %s amoskys", runtime.GOARCH, c.dir))
		c.program = filepath.Join(c.dir, "amoskys")
	}
	if given := os.Getenv("IMAGE"); given != "" {
		c.image, c.next = given, given
		if next := os.Getenv("NEXT_IMAGE"); next != "" {
			c.next = next
		}
		return
	}
	ctr := os.Getenv("CTR")
	if ctr == "" {
		c.t.Skip("say with $IMAGE which image the cluster's nodes have, or with $CTR how to load this tree's, such as 'ctr -a /run/containerd/containerd.sock'")
	}
	c.shell(fmt.Sprintf("PROGRAM=%s tools/image-archive.sh amoskys:latest %s/image.tar", c.program, c.dir))
	c.shell(fmt.Sprintf("%s -n k8s.io images import %s/image.tar && %[1]s -n k8s.io images tag --force docker.io/library/amoskys:latest docker.io/library/amoskys:next", ctr, c.dir))
}

// shell runs a line at the top of the tree.
func (c *cluster) shell(line string) string {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), "bash", "-c", line)
	cmd.Dir = top
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// kubectl calls it, with a text on standard input.
func (c *cluster) kubectl(stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "kubectl", args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String() + stderr.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(stdout.String()), nil
}

func (c *cluster) must(stdin string, args ...string) string {
	c.t.Helper()
	out, err := c.kubectl(stdin, args...)
	if err != nil {
		c.explain()
		c.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// amoskys calls a command in the hub's pod.
func (c *cluster) amoskys(args ...string) (string, error) {
	return c.kubectl("", append([]string{"-n", hubNS, "exec", "eventbus-0", "--", "/usr/local/bin/amoskys"}, args...)...)
}

// until asks until there is no error.
func (c *cluster) until(patience time.Duration, what string, ask func() error) {
	c.t.Helper()
	began := time.Now()
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Since(began) > patience {
			c.explain()
			c.t.Fatalf("not within %s: %s: %v", patience, what, err)
		}
		<-time.After(time.Second)
	}
}

// explain logs how pods are, for whoever reads why it failed.
func (c *cluster) explain() {
	c.t.Helper()
	for _, ns := range []string{hubNS, agentNS} {
		pods, _ := c.kubectl("", "-n", ns, "get", "pods", "-o", "wide")
		events, _ := c.kubectl("", "-n", ns, "get", "events", "--sort-by=.lastTimestamp")
		c.t.Logf("%s:\n%s\n%s", ns, pods, last(events, 25))
		names, _ := c.kubectl("", "-n", ns, "get", "pods", "-o", "name")
		for _, name := range strings.Fields(names) {
			logs, _ := c.kubectl("", "-n", ns, "logs", name, "--all-containers", "--tail=8", "--prefix")
			c.t.Log(logs)
		}
	}
}

func last(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// volumes makes those of hub and store where the cluster makes none by itself: folders of
// this machine, which then has to be its node.
func (c *cluster) volumes() {
	c.t.Helper()
	if strings.Contains(c.must("", "get", "storageclass", "-o", "jsonpath={.items[*].metadata.annotations}"), "is-default-class\":\"true") {
		return
	}
	for name, size := range map[string]string{"eventbus": "20Gi", "store": "50Gi"} {
		dir := filepath.Join(c.dir, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			c.t.Fatal(err)
		}
		if err := os.Chown(dir, 65532, 65532); err != nil { // what fsGroup would do
			c.t.Skipf("there is no default StorageClass, and folders take root: %v", err)
		}
		// What begins with a brace is JSON to kubectl.
		c.must(fmt.Sprintf(`apiVersion: v1
kind: PersistentVolume
metadata: {name: amoskys-test-%s}
spec: {capacity: {storage: %s}, accessModes: [ReadWriteOnce], persistentVolumeReclaimPolicy: Retain, hostPath: {path: %s}, claimRef: {namespace: %s, name: data-%[1]s-0}}
`, name, size, dir, hubNS), "apply", "-f", "-")
		c.t.Cleanup(func() { _, _ = c.kubectl("", "delete", "persistentvolume", "amoskys-test-"+name, "--timeout=60s") })
	}
}

// dns is where this cluster's pods ask for names, when no pod of kube-system answers there.
var dns = regexp.MustCompile(`169\.254\.0\.0/16`) //nolint:gochecknoglobals // a pattern

// adapt is the manifests for this cluster: its image, folders and DNS.
func (c *cluster) adapt(text []byte) string {
	out := strings.ReplaceAll(string(text), "/var/lib/amoskys-agent", c.host)
	out = strings.ReplaceAll(out, "image: amoskys:latest", "image: "+c.image)
	if addr := os.Getenv("CLUSTER_DNS"); addr != "" {
		out = dns.ReplaceAllString(out, addr+"/32")
	}
	return out
}

// remove takes all away, and waits for it.
func (c *cluster) remove() {
	_, _ = c.kubectl("", "delete", "namespace", hubNS, agentNS, "--ignore-not-found", "--wait=true", "--timeout=150s")
}

// secrets makes certificates and the join token of this run, and applies them.
func (c *cluster) secrets() {
	c.t.Helper()
	file := filepath.Join(c.dir, "secret-tls.yaml")
	c.shell(fmt.Sprintf("%s certs init --k8s --home %s/home --out %s", c.program, c.dir, file))
	c.t.Cleanup(c.remove)
	c.must("", "apply", "-f", file)
}

// firstEvent waits until the store answers with an event of a process.
func (c *cluster) firstEvent() {
	c.t.Helper()
	c.until(5*time.Minute, "an event of a process from the DaemonSet", func() error { return c.found("type:process.*", 1) })
	c.t.Logf("from kubectl apply to the first event in the store: %.1f s", time.Since(c.began).Seconds())
}

// found asks the store, from the hub's pod, whether it has n events.
func (c *cluster) found(query string, n int) error {
	out, err := c.amoskys("query", query, "--since", "1h", "--limit", fmt.Sprint(n), "--json")
	if err != nil {
		return err
	}
	if got := strings.Count(out, "\n") + 1; out == "" || got < n {
		return fmt.Errorf("%q finds fewer than %d:\n%s", query, n, out)
	}
	return nil
}

// forward makes a port of a pod one of this machine while the test runs.
func (c *cluster) forward(namespace, pod, port string) (url string, stop func()) {
	c.t.Helper()
	cmd := exec.Command("kubectl", "-n", namespace, "port-forward", pod, ":"+port)
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	stop = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	buffer := make([]byte, 256)
	n, err := out.Read(buffer)
	_, rest, found := strings.Cut(string(buffer[:n]), "127.0.0.1:")
	number, _, _ := strings.Cut(rest, " ")
	if err != nil || !found {
		stop()
		c.t.Fatalf("port-forward to %s: %v: %s", pod, err, buffer[:n])
	}
	return "http://127.0.0.1:" + number, stop
}

// dashboards asks each pod of dashboards for an event, with the session that the first gave.
func (c *cluster) dashboards(want int) {
	c.t.Helper()
	var pods []string
	c.until(2*time.Minute, fmt.Sprintf("%d dashboards are ready", want), func() error { // the scaler looks every 15 s
		out, err := c.kubectl("", "-n", hubNS, "rollout", "status", "deployment/dashboard", "--timeout=120s")
		if err != nil {
			return fmt.Errorf("%s: %w", out, err)
		}
		out, err = c.kubectl("", "-n", hubNS, "get", "pods", "-l", "app.kubernetes.io/name=dashboard", "--field-selector=status.phase=Running", "-o", "name")
		if pods = strings.Fields(out); err != nil || len(pods) < want {
			return fmt.Errorf("%d run: %w", len(pods), err)
		}
		return nil
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Timeout: 20 * time.Second}
	for i, pod := range pods {
		url, stop := c.forward(hubNS, pod, "5001")
		if i == 0 {
			c.until(30*time.Second, "sign in at "+pod, func() error {
				return answer(client.Post(url+"/api/login", "application/json", strings.NewReader(`{"username": "ada", "password": "`+password+`"}`)))
			})
		}
		for _, query := range []string{"type:process.*", "agent.id:eventbus", "agent.id:snmp_agent"} {
			c.until(time.Minute, pod+" shows "+query, func() error { return events(client, url, query) })
		}
		stop()
	}
}

func answer(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	return nil
}

func events(client *http.Client, url, query string) error {
	resp, err := client.Get(url + "/api/events?limit=1&since=1h&query=" + query)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var page struct {
		Events []json.RawMessage `json:"events"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil || len(page.Events) == 0 {
		return fmt.Errorf("%s, no event: %w", resp.Status, err)
	}
	return nil
}

// password is that of the account which the test makes.
const password = "correct-horse-battery-9"
