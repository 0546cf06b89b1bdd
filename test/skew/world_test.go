//go:build unix

package skew

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a step of a test may take on a busy machine.
const patience = 40 * time.Second

func TestMain(m *testing.M) {
	code := m.Run()
	Clean()
	os.Exit(code) //nolint:forbidigo // what was built is removed first
}

// world is one home folder with ports of its own, in which programs of either
// build run.
type world struct {
	t    *testing.T
	home string
	hub  string // port
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, home: filepath.Join(t.TempDir(), "home"), hub: freePort(t)}
	w.write("config/eventbus_config.yaml", "server: {host: 127.0.0.1, port: "+w.hub+"}\nmetrics: {enabled: false}\nwal: {min_free_mb: 0}\n")
	for _, agent := range []string{"process_monitor", "eventbus_agent"} {
		extra := ""
		if agent == "eventbus_agent" {
			extra = "monitoring: {eventbus_port: " + w.hub + ", metrics_export_port: 0}\n"
		}
		w.write("config/agents/"+agent+"_config.yaml", "agent: {interval_seconds: 0.5, health_interval_seconds: 1}\nhub: {port: "+w.hub+"}\nhttp: {port: "+freePort(t)+"}\n"+extra)
	}
	w.write("config/node_config.yaml", "hub: {port: "+w.hub+"}\n")
	w.write("config/store_config.yaml", "server: {host: 127.0.0.1, port: "+freePort(t)+"}\nhub: {port: "+w.hub+"}\nmetrics: {enabled: false}\nstore: {min_free_mb: 50}\n")
	return w
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func (w *world) write(name, text string) {
	w.t.Helper()
	file := filepath.Join(w.home, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// environment has nothing of ours but where the hub is.
func (w *world) environment() []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "AMOSKYS_") && !strings.HasPrefix(pair, "EVENTBUS_") && !strings.HasPrefix(pair, "STORE_") {
			env = append(env, pair)
		}
	}
	return append(env, "EVENTBUS_HOST=localhost", "EVENTBUS_PORT="+w.hub, "AMOSKYS_HOME="+w.home)
}

// try runs a program to its end and returns what it printed.
func (w *world) try(program string, args ...string) (string, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	var out bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = w.environment(), &out, &out
	err := cmd.Run()
	return out.String(), err
}

func (w *world) run(program string, args ...string) string {
	w.t.Helper()
	out, err := w.try(program, args...)
	if err != nil {
		w.t.Fatalf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return out
}

// process is a role that runs.
type process struct {
	w    *world
	cmd  *exec.Cmd
	out  *bytes.Buffer
	done chan error
}

// start runs a role until the test ends or stop.
func (w *world) start(program string, args ...string) *process {
	w.t.Helper()
	p := &process{w: w, out: &bytes.Buffer{}, done: make(chan error, 1)}
	p.cmd = exec.Command(program, args...)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = w.environment(), p.out, p.out
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	w.t.Cleanup(func() { p.stop() })
	return p
}

// stop ends the role in order. It may be called twice.
func (p *process) stop() {
	p.w.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case err := <-p.done:
		p.done <- err
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		p.w.t.Errorf("%v did not stop", p.cmd.Args)
	}
}

// ended waits for a role that ends by itself and returns what it printed.
func (p *process) ended() string {
	p.w.t.Helper()
	select {
	case err := <-p.done:
		p.done <- err
	case <-time.After(patience):
		p.w.t.Fatalf("%v does not end", p.cmd.Args)
	}
	return p.out.String()
}

// until polls with a deadline.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain: %s\n%s", what, w.logs())
		}
		<-time.After(50 * time.Millisecond)
	}
}

// logs are the last lines of all logs, for a failure.
func (w *world) logs() string {
	var b strings.Builder
	_ = filepath.WalkDir(filepath.Join(w.home, "logs"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			text, _ := os.ReadFile(path)
			fmt.Fprintf(&b, "-- %s\n%s\n", filepath.Base(path), text[max(0, len(text)-1500):])
		}
		return nil
	})
	return b.String()
}

// startHub runs a build's hub and waits until it answers, asked by the same build.
func (w *world) startHub(p Programs) *process {
	w.t.Helper()
	hub := w.start(p.Amoskys, "hub")
	w.until("the "+p.Name+" hub answers", func() bool {
		_, err := w.try(p.Amoskys, "status", "--json")
		return err == nil
	})
	return hub
}

// agents are this host's as the hub tells a build's command.
func (w *world) agents(p Programs) map[string]string {
	w.t.Helper()
	states := map[string]string{}
	for line := range strings.Lines(w.run(p.Amoskys, "agents", "list", "--json")) {
		var a struct {
			ID    string `json:"id"`
			State string `json:"state"`
		}
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			w.t.Fatalf("%v in %q", err, line)
		}
		states[a.ID] = a.State
	}
	return states
}

// count is how many events of a type the log holds, as a build's tail reads them.
func (w *world) count(p Programs, eventType string) int {
	w.t.Helper()
	return strings.Count(w.run(p.Amoskys, "tail", "--all", "--no-follow", "--json", "--type", eventType), "\n")
}

// verify has a build prove the log whole.
func (w *world) verify(p Programs) {
	w.t.Helper()
	if out := w.run(p.Amoskys, "wal", "verify", "--json"); !strings.Contains(out, `"ok":true`) && !strings.Contains(out, `"ok": true`) {
		w.t.Errorf("the %s build finds fault with the log: %s", p.Name, out)
	}
}
