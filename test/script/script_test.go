// Package script_test runs the built programs as a person does: every file in
// testdata is a session at a shell, in a home folder and with ports of its own.
package script_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// programs is the folder of the built programs.
var programs string

func TestMain(m *testing.M) {
	os.Exit(run(m)) //nolint:forbidigo // the programs are removed first
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "amoskys-script-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.CommandContext(context.Background(), "go", "build", "-o", dir+"/", "./cmd/amoskys", "./cmd/amoskys-agent")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		return 1
	}
	programs = dir
	return m.Run()
}

func TestScripts(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "home": makeHome, "listen": listen, "unlisten": unlisten, "within": within, "killup": killUp, "killrole": killRole, "gone": gone,
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", programs+string(os.PathListSeparator)+root+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Setenv("ROOT", root)
			env.Setenv("AMOSKYS_HOME", filepath.Join(env.WorkDir, "home"))
			// Whatever a failed script leaves running must not outlive it.
			env.Defer(func() { down(filepath.Join(env.WorkDir, "home")) })
			return nil
		},
	})
}

// TestStartIsQuiet: no library says a word before the program does, as one would where
// the kernel has no pressure stall information.
func TestStartIsQuiet(t *testing.T) {
	const without = `mount -t tmpfs none /sys && exec "$0" version`
	var said strings.Builder
	cmd := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-c", without, filepath.Join(programs, "amoskys"))
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil && len(out) == 0 {
		t.Skipf("needs root and unshare: %v %s", err, said.String())
	}
	if said.String() != "" {
		t.Errorf("version says on stderr: %s", said.String())
	}
}

func down(home string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = exec.CommandContext(ctx, filepath.Join(programs, "amoskys"), "down", "--home", home).Run()
}

// exits runs a program and wants an exit code: exits CODE PROGRAM ARG...
func exits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// makeHome writes configuration with free ports into $AMOSKYS_HOME, and sets
// $HUB, $STORE, $WEB, $METRICS, $STOREMETRICS, $PROC, $MONITOR and $MONITORMETRICS to
// them.
func makeHome(ts *testscript.TestScript, _ bool, _ []string) {
	port, err := writeHome(ts.Getenv("AMOSKYS_HOME"))
	ts.Check(err)
	for name, n := range port {
		ts.Setenv(name, strconv.Itoa(n))
	}
}

// writeHome writes configuration with free ports below home, and returns them by name.
func writeHome(home string) (map[string]int, error) {
	names := []string{"HUB", "WEB", "METRICS", "PROC", "FLOW", "SNMP", "SCANNER", "MONITOR", "MONITORMETRICS", "SYNTH", "STORE", "STOREMETRICS"}
	ports, err := freePorts(len(names))
	if err != nil {
		return nil, err
	}
	port := map[string]int{}
	for i, name := range names {
		port[name] = ports[i]
	}
	hub := fmt.Sprintf("hub: {port: %d}\n", port["HUB"])
	files := map[string]string{
		"eventbus_config.yaml": fmt.Sprintf("server: {host: 127.0.0.1, port: %d}\nmetrics: {host: 127.0.0.1, port: %d}\nwal: {min_free_mb: 1}\n", port["HUB"], port["METRICS"]),
		"store_config.yaml": fmt.Sprintf("server: {host: 127.0.0.1, port: %d}\nmetrics: {port: %d}\nstore: {min_free_mb: 50}\n",
			port["STORE"], port["STOREMETRICS"]) + hub,
		"dashboard_config.yaml":              fmt.Sprintf("server: {port: %d}\nstore: {port: %d}\n", port["WEB"], port["STORE"]) + hub,
		"node_config.yaml":                   hub,
		"agents/process_monitor_config.yaml": fmt.Sprintf("agent: {interval_seconds: 1}\nhttp: {port: %d}\n", port["PROC"]) + hub,
		"agents/flowagent_config.yaml":       fmt.Sprintf("http: {port: %d}\n", port["FLOW"]) + hub,
		"agents/snmp_agent_config.yaml":      fmt.Sprintf("http: {port: %d}\ntraps: {listen: '127.0.0.1:0'}\n", port["SNMP"]) + hub,
		"agents/device_scanner_config.yaml":  fmt.Sprintf("http: {port: %d}\n", port["SCANNER"]) + hub,
		"agents/mac_telemetry_config.yaml":   fmt.Sprintf("http: {port: %d}\n", port["SYNTH"]) + hub,
		"agents/eventbus_agent_config.yaml": fmt.Sprintf("http: {port: %d}\nmonitoring: {eventbus_port: %d, metrics_export_port: %d}\n",
			port["MONITOR"], port["HUB"], port["MONITORMETRICS"]) + hub,
	}
	for name, text := range files {
		file := filepath.Join(home, "config", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return port, nil
}

// freePorts finds ports that are free now, all different.
func freePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// listen holds a port until the script ends: listen PORT.
func listen(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:"+args[0])
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv("HOLDER", strconv.Itoa(os.Getpid()))
	ts.Setenv("LISTENER", l.Addr().String())
	listening.Store(l.Addr().String(), l)
}

// listening are the ports that listen holds, by address.
var listening sync.Map

// unlisten lets go of the port that listen took last.
func unlisten(ts *testscript.TestScript, _ bool, _ []string) {
	l, ok := listening.LoadAndDelete(ts.Getenv("LISTENER"))
	if !ok {
		ts.Fatalf("nothing is held")
	}
	ts.Check(l.(net.Listener).Close())
}

// within repeats a program until it ends well and prints a text:
// within SECONDS REGEXP PROGRAM ARG...
func within(ts *testscript.TestScript, _ bool, args []string) {
	seconds, err := strconv.Atoi(args[0])
	ts.Check(err)
	wanted, err := regexp.Compile(args[1])
	ts.Check(err)
	deadline := time.After(time.Duration(seconds) * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	program := args[2]
	if program == "amoskys" || program == "amoskys-agent" {
		program = filepath.Join(programs, program)
	}
	for {
		cmd := exec.CommandContext(context.Background(), program, args[3:]...)
		cmd.Dir = ts.Getenv("WORK")
		cmd.Env = append(os.Environ(), "AMOSKYS_HOME="+ts.Getenv("AMOSKYS_HOME"))
		out, err := cmd.CombinedOutput()
		if err == nil && wanted.Match(out) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("%q did not appear within %s s: %v\n%s", args[1], args[0], err, out)
		}
	}
}

// killUp kills the process of up with SIGKILL and sets $CHILDREN to what it ran.
func killUp(ts *testscript.TestScript, _ bool, _ []string) {
	s := readState(ts)
	if len(s.Children) < 3 {
		ts.Fatalf("run/up.json names %d children", len(s.Children))
	}
	p, err := os.FindProcess(s.PID)
	ts.Check(err)
	ts.Check(p.Kill())
	var pids []string
	for _, c := range s.Children {
		pids = append(pids, strconv.Itoa(c.PID))
	}
	ts.Setenv("CHILDREN", strings.Join(pids, " "))
}

// killRole kills one of the processes of up with SIGKILL: killrole NAME... It waits
// until up knows it: agents are known again a moment after their hub is back.
func killRole(ts *testscript.TestScript, _ bool, args []string) {
	name := strings.Join(args, " ")
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, c := range readState(ts).Children {
			if c.Name == name {
				p, err := os.FindProcess(c.PID)
				ts.Check(err)
				ts.Check(p.Kill())
				return
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("run/up.json names no process %q", name)
		}
	}
}

// gone waits until every process of $CHILDREN has ended.
func gone(ts *testscript.TestScript, _ bool, _ []string) {
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		left := 0
		for pid := range strings.FieldsSeq(ts.Getenv("CHILDREN")) {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			if err == nil && !bytes.Contains(stat, []byte(") Z ")) {
				left++
			}
		}
		if left == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("%d processes are left", left)
		}
	}
}
