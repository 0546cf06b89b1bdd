package docker_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// daemon is a dockerd with a data root and a network namespace of its own.
type daemon struct {
	t    *testing.T
	pid  int
	host string // DOCKER_HOST
}

func startDaemon(t *testing.T) *daemon {
	t.Helper()
	if os.Getenv("RUN_DOCKER") == "" {
		t.Skip("builds an image and runs a Docker daemon: make test-docker")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dockerd, err := exec.LookPath("dockerd")
	if err != nil {
		t.Skip("needs dockerd (Debian's docker.io)")
	}
	dir, err := os.MkdirTemp("/var/tmp", "docker-") //nolint:usetesting // sockets have short names
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, host: "unix://" + dir + "/sock"}
	const enter = `ip link set lo up; echo 1 >/proc/sys/net/ipv4/ip_forward; d=$0; shift 0
exec "$@" --data-root "$d/root" --exec-root "$d/exec" --pidfile "$d/pid" -H "unix://$d/sock" --iptables="${IPTABLES:-true}" --ip6tables=false`
	cmd := exec.Command("unshare", "--net", "--mount", "sh", "-c", enter, dir, dockerd, "--storage-driver", driver(), "--log-level", "warn")
	said, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.pid = cmd.Process.Pid // unshare and sh become it
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it stops its containers
		select {
		case <-ended:
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill() // it hangs
			<-ended
		}
		said.Close()
		os.RemoveAll(dir)
	})
	for range 150 {
		if _, err := d.try("info"); err == nil {
			return d
		}
		select {
		case err := <-ended:
			ended <- err
			text, _ := os.ReadFile(said.Name())
			t.Skipf("dockerd does not start here: %v\n%s", err, text)
		case <-time.After(200 * time.Millisecond):
		}
	}
	text, _ := os.ReadFile(said.Name())
	t.Skipf("dockerd does not answer within 30 s\n%s", text)
	return nil
}

// driver is overlay2, and vfs where the folder is on an overlay itself.
func driver() string {
	out, err := exec.Command("stat", "-f", "-c", "%T", "/var/tmp").Output()
	if err != nil || strings.HasPrefix(string(out), "overlay") {
		return "vfs"
	}
	return "overlay2"
}

// shell runs a line as a person would type it in dir; it may compile all there is.
func (d *daemon) shell(dir, line string) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.t.Context()), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", line)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "DOCKER_HOST="+d.host, "DOCKER_BUILDKIT=0")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (d *daemon) try(args ...string) (string, error) {
	cmd := exec.CommandContext(context.WithoutCancel(d.t.Context()), "docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+d.host)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (d *daemon) run(args ...string) string {
	d.t.Helper()
	out, err := d.try(args...)
	if err != nil {
		d.t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

// get asks from the network where ports are published.
func (d *daemon) get(url string) (code, body string) {
	out, err := exec.CommandContext(d.t.Context(), "nsenter", "-t", strconv.Itoa(d.pid), "-n", "curl", "-s", "-m", "5", "-w", "\n%{http_code}", url).Output()
	if err != nil {
		return "", err.Error()
	}
	at := bytes.LastIndexByte(out, '\n')
	return string(out[at+1:]), string(out[:at])
}

func (d *daemon) until(patience time.Duration, container, what string, ask func() error) {
	d.t.Helper()
	began := time.Now()
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Since(began) > patience {
			logs, _ := d.try("logs", "--tail", "40", container)
			d.t.Fatalf("not within %s: %s: %v\n%s", patience, what, err, logs)
		}
		<-time.After(300 * time.Millisecond)
	}
}

func (d *daemon) hasEvents(container string) error {
	out, err := d.try("exec", container, "/usr/local/bin/amoskys", "query", "type:process.*", "--limit", "1", "--json")
	if err != nil || !strings.Contains(out, `"process.`) {
		return fmt.Errorf("%s %w", out, err)
	}
	return nil
}

// guide is the command that docs/install.md gives for a single container.
func guide(t *testing.T, top string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, "docs", "install.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "docker build -t amoskys:latest .\n")
	command, _, found2 := strings.Cut(after, "  amoskys:latest\n")
	if !found || !found2 {
		t.Fatal("docs/install.md has not got the two commands")
	}
	return command + "  amoskys:latest\n"
}

// TestImage builds the image around this tree's program and runs it as people do.
func TestImage(t *testing.T) {
	d := startDaemon(t)
	top, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := d.shell(top, "tools/image.sh amoskys:latest"); err != nil {
		t.Fatalf("build the image: %v\n%s", err, out)
	}
	bytes, err := strconv.ParseInt(d.run("image", "inspect", "-f", "{{.Size}}", "amoskys:latest"), 10, 64)
	if err != nil || bytes >= 80_000_000 {
		t.Errorf("the image has %d bytes, want below 80 MB: %v", bytes, err)
	}
	t.Logf("docker image ls: %s", d.run("image", "ls", "--format", "{{.Repository}}:{{.Tag}} {{.Size}}", "amoskys"))
	t.Run("guide", func(t *testing.T) { testGuide(t, d, guide(t, top)) })
	t.Run("read-only", func(*testing.T) { testReadOnly(d) })
	t.Run("another user", func(t *testing.T) { testAnotherUser(t, d) })
	t.Run("compose", func(t *testing.T) { testProject(t, d, top) })
}

// testGuide runs the guide's command word for word, in an empty folder.
func testGuide(t *testing.T, d *daemon, command string) {
	dir := t.TempDir()
	began := time.Now()
	if out, err := d.shell(dir, command); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	d.until(time.Minute, "amoskys", "an event of a process", func() error { return d.hasEvents("amoskys") })
	t.Logf("from docker run to the first event of a process: %.1f s", time.Since(began).Seconds())
	if out := d.run("logs", "amoskys"); !strings.Contains(out, "password:") {
		t.Errorf("no password is told:\n%s", out)
	}
	d.until(30*time.Second, "amoskys", "all is well", func() error {
		out, err := d.try("exec", "amoskys", "/usr/local/bin/amoskys", "healthcheck")
		return wrap(out, err)
	})
	for url, want := range map[string]string{
		"http://127.0.0.1:5001/healthz":  "200",
		"http://127.0.0.1:50002/healthz": "200", "http://127.0.0.1:50002/status": "403",
		"http://127.0.0.1:50002/metrics": "403",
	} {
		if code, body := d.get(url); code != want {
			t.Errorf("%s answers %s: %s", url, code, body)
		}
	}
	status, err := os.ReadFile("/proc/" + d.run("inspect", "-f", "{{.State.Pid}}", "amoskys") + "/status")
	if err != nil {
		t.Fatal(err)
	}
	// CAP_NET_BIND_SERVICE is number 10, CAP_NET_RAW 13: of what Docker gives, no more is kept.
	for _, want := range []string{"Uid:\t65532\t65532\t65532\t65532\n", "CapEff:\t0000000000002400\n", "CapPrm:\t0000000000002400\n"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("the program has no %q in\n%s", want, status)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "find", dir+"/certs", dir+"/data", "!", "-uid", "65532").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("not 65532's own: %v\n%s", err, out)
	}
	agents := d.run("exec", "amoskys", "/usr/local/bin/amoskys", "agents", "list")
	if strings.Contains(agents, "CAP_NET_RAW") {
		t.Errorf("an agent lacks what Docker gives:\n%s", agents)
	}
	d.run("stop", "-t", "60", "amoskys")
	if code := d.run("inspect", "-f", "{{.State.ExitCode}}", "amoskys"); code != "0" {
		t.Errorf("it ended with %s:\n%s", code, d.run("logs", "--tail", "20", "amoskys"))
	}
	// The same volumes serve the next container, with a root that nothing can write.
	d.run("run", "--rm", "-v", dir+"/certs:/app/certs", "-v", dir+"/data:/app/data", "--read-only", "amoskys:latest", "wal", "verify")
	d.run("rm", "amoskys")
}

// testReadOnly: a fresh volume, no root, no capability, no writable root file system.
func testReadOnly(d *daemon) {
	d.run("run", "-d", "--name", "hardened", "--read-only", "--user", "65532:65532", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
		"-v", "hardened-certs:/app/certs", "-v", "hardened-data:/app/data", "amoskys:latest")
	d.until(time.Minute, "hardened", "an event of a process", func() error { return d.hasEvents("hardened") })
	d.run("rm", "-f", "-v", "hardened")
}

// testAnotherUser: who cannot write a volume learns which, and what to do.
func testAnotherUser(t *testing.T, d *daemon) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"--user", "1000"},
		{"--cap-drop", "CHOWN"}, // a root who may not give the volumes away
	} {
		all := append([]string{"run", "--rm", "-v", dir + ":/app/data"}, args...)
		out, err := d.try(append(all, "amoskys:latest")...)
		if err == nil || !strings.Contains(out, "/app/") || !strings.Contains(out, "sudo chown -R") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

func wrap(out string, err error) error {
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}
