//go:build linux

package hostile_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/identity"
)

// cgroupLimit is the memory that the hub's group has.
const cgroupLimit = 512 << 20

// program is a hub, or a store beside one, that runs as a process of its own, in a memory
// cgroup of its own where the system lets us make one.
type program struct {
	what      string // the command: hub or store
	role      identity.Role
	home      string
	addr      string
	metrics   string
	cmd       *exec.Cmd
	ended     chan struct{}
	out       bytes.Buffer // what it said; to be read once it has ended
	why       error
	group     string // folder of its cgroup; empty without one
	authority *identity.CA
}

func startHub(t *testing.T) *program {
	t.Helper()
	home := t.TempDir()
	if dir := os.Getenv(dirVariable); dir != "" {
		var err error
		if home, err = os.MkdirTemp(dir, "amoskys-hostile-"); err != nil { //nolint:usetesting // where the variable says
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(home) })
	}
	ports := freePorts(t, 2)
	config := fmt.Sprintf("server: {host: 127.0.0.1, port: %d}\nmetrics: {host: 127.0.0.1, port: %d}\nwal: {min_free_mb: 1, rotation_size_mb: 16, retention_size_mb: 64}\n", ports[0], ports[1])
	if err := os.MkdirAll(filepath.Join(home, "config"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "config", "eventbus_config.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), amoskys, "certs", "init", "--home", home).CombinedOutput(); err != nil {
		t.Fatalf("certs init: %v\n%s", err, out)
	}
	p := &program{
		what: "hub", role: identity.RoleHub, home: home, addr: "127.0.0.1:" + strconv.Itoa(ports[0]), metrics: "127.0.0.1:" + strconv.Itoa(ports[1]),
		ended: make(chan struct{}),
	}
	var err error
	if p.authority, err = identity.LoadCA(filepath.Join(home, "certs", "ca.crt"), filepath.Join(home, "certs", "ca.key")); err != nil {
		t.Fatal(err)
	}
	p.group = makeGroup(t, p.what)
	p.run(t)
	return p
}

// run starts the process. It enters its cgroup before it becomes the hub or store.
func (p *program) run(t *testing.T) {
	t.Helper()
	script := `exec "$@"`
	if p.group != "" {
		script = `echo $$ > ` + filepath.Join(p.group, "cgroup.procs") + ` && exec "$@"`
	}
	p.cmd = exec.Command("sh", "-c", script, "sh", amoskys, p.what, "--home", p.home)
	out := &p.out
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.why = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.ended:
		case <-time.After(20 * time.Second):
			_ = p.cmd.Process.Kill()
			<-p.ended
			t.Errorf("the %s did not stop in time", p.what)
		}
		if p.group != "" {
			_ = os.Remove(p.group)
		}
		if t.Failed() {
			t.Logf("the %s said:\n%.4000s", p.what, out.String())
		}
	})
	deadline := time.After(30 * time.Second)
	for {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.addr)
		if err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-p.ended:
			t.Fatalf("the %s ended: %v\n%s", p.what, p.why, out.String())
		case <-deadline:
			t.Fatalf("the %s does not listen: %v", p.what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// makeGroup makes a memory cgroup, of version 1 or 2. Without the right to, the
// process's own peak has to do.
func makeGroup(t *testing.T, of string) string {
	t.Helper()
	name := "amoskys-hostile-" + of + strconv.Itoa(os.Getpid())
	for _, v := range []struct{ root, limit string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
		{"/sys/fs/cgroup", "memory.max"},
	} {
		dir := filepath.Join(v.root, name)
		if os.Mkdir(dir, 0o700) != nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, v.limit), []byte(strconv.Itoa(cgroupLimit)), 0o600); err != nil {
			_ = os.Remove(dir)
			continue
		}
		return dir
	}
	t.Logf("no memory cgroup can be made here: the %s's own peak is what counts", of)
	return ""
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	ports := make([]int, 0, n)
	for range n {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert // of a TCP listener
	}
	return ports
}

// certificate issues one.
func (p *program) certificate(t *testing.T, role identity.Role, name string) identity.Files {
	t.Helper()
	pair, err := p.authority.Issue(identity.IssueOptions{
		ID: identity.ID{Domain: p.authority.Domain(), Role: role, Name: name}, TTL: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := identity.Files{
		CA: filepath.Join(p.home, "certs", "ca.crt"), Cert: filepath.Join(dir, "x.crt"), Key: filepath.Join(dir, "x.key"),
	}
	for file, data := range map[string][]byte{files.Cert: pair.CertPEM, files.Key: pair.KeyPEM} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// forgetPeak makes the kernel count the peak of memory anew.
func (p *program) forgetPeak(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0o600); err != nil {
		t.Logf("the peak counts from the start: %v", err)
	}
}

// peak returns the most memory that the process was resident with, in bytes.
func (p *program) peak(t *testing.T) int64 {
	t.Helper()
	select {
	case <-p.ended:
		t.Fatalf("the %s has ended: %v", p.what, p.why)
	default:
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("the kernel does not tell the peak")
	return 0
}

// counters returns the lines of /metrics that tell what was refused and which bound
// is how near.
func (p *program) counters(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.metrics+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	var out []string
	for line := range strings.Lines(string(body)) {
		interesting := strings.HasPrefix(line, "eventbus_errors_total{") || strings.HasPrefix(line, "amoskys_hub_bound_used{") ||
			strings.HasPrefix(line, "go_goroutines ") || strings.HasPrefix(line, "go_memstats_heap_alloc_bytes ")
		if line = strings.TrimSpace(line); interesting && !strings.HasSuffix(line, " 0") {
			line = strings.TrimPrefix(strings.TrimPrefix(line, "eventbus_errors_total{reason="), "amoskys_hub_bound_used{bound=")
			out = append(out, strings.ReplaceAll(line, "}", ""))
		}
	}
	return strings.Join(out, ", ")
}
