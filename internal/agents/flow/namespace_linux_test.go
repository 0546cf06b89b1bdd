package flow

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// helperVariable makes the test's program the agent, which prints what it publishes: with
// helperTells of its host's own scans too. With helperScans it is such a scan.
const (
	helperVariable = "FLOW_TEST_HELPER"
	helperTells    = "tells"
	helperScans    = "scans"
)

func TestMain(m *testing.M) {
	if kind := os.Getenv(helperVariable); kind != "" {
		run := helper
		if kind == helperScans {
			run = scanHelper
		}
		if err := run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1) //nolint:forbidigo // a main of its own
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// line is what the helper prints: of an event, or of a condition.
type line struct {
	Type, Src, Dst, Process, Direction, Condition string
	Port                                          uint32
}

type printer struct{ out *json.Encoder }

func (p printer) Publish(_ context.Context, events ...*pb.Event) error {
	for _, ev := range events {
		n := ev.GetNetwork()
		if err := p.out.Encode(line{
			Type: ev.GetType(), Src: n.GetSrcEndpoint().GetIp(), Dst: n.GetDstEndpoint().GetIp(), Port: n.GetDstEndpoint().GetPort(),
			Process: n.GetProcess().GetName(), Direction: n.GetDirection(),
		}); err != nil {
			return err
		}
	}
	return nil
}

// helper runs the agent on the interface of the default route until it is interrupted.
func helper() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg := DefaultConfig()
	cfg.Capture.BPFFilter, cfg.Aggregation.TimeoutSeconds = "tcp", 1
	cfg.Aggregation.OwnScans = os.Getenv(helperVariable) == helperTells
	out := printer{json.NewEncoder(os.Stdout)}
	a, err := New(cfg, agent.Options{
		ID: defaultID, Host: "h", HostID: "h", Interval: time.Minute, Logger: obs.Discard(),
		Registerer: prometheus.NewRegistry(), Publisher: out,
		Note: func(string, string) {},
		Condition: func(name string, err error) {
			if name != conditionCapture {
				return
			}
			said := "captures"
			if err != nil {
				said = err.Error()
			}
			_ = out.out.Encode(line{Condition: said})
		},
	})
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

// inNamespace runs f on a thread of a network namespace.
func inNamespace(namespace *os.File, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is of no use to others
		err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

func newNamespace(t *testing.T) *os.File {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs the command ip of the Debian package iproute2")
	}
	var file *os.File
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			file, err = os.Open("/proc/thread-self/ns/net")
		}
		done <- err
	}()
	if err := <-done; errors.Is(err, unix.EPERM) {
		t.Skip("needs CAP_SYS_ADMIN, to make network namespaces")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

func ip(t *testing.T, namespace *os.File, commands ...string) {
	t.Helper()
	for _, c := range commands {
		if err := inNamespace(namespace, func() error {
			if out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput(); err != nil {
				return fmt.Errorf("ip %s: %w: %s", c, err, out)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNamespaces: the agent, of one host with a link to another, tells connections with
// the process that has the socket, and goes on after the interface was down, and after it
// was removed and another came.
func TestNamespaces(t *testing.T) {
	here, there := newNamespace(t), newNamespace(t)
	join := func(name string) {
		ip(t, here, "link add "+name+" type veth peer name b0",
			fmt.Sprintf("link set b0 netns /proc/%d/fd/%d", os.Getpid(), there.Fd()),
			"address add 192.0.2.1/24 dev "+name, "link set "+name+" up")
		ip(t, there, "address add 192.0.2.2/24 dev b0", "link set b0 up")
		ip(t, here, "route add default via 192.0.2.2")
	}
	ip(t, here, "link set lo up")
	join("a0")

	await := startHelper(t, here, "1")
	captures := func(l line) bool { return l.Condition == "captures" }
	of := func(kind string) func(line) bool { return func(l line) bool { return l.Type == kind } }

	await("capture", captures)
	for round := range 3 {
		hold := connect(t, here, there)
		created := await("flow.created", of("flow.created"))
		hold()
		told := []line{created}
		if round == 0 { // an end takes five seconds to be sure
			told = append(told, await("flow.ended", of("flow.ended")))
		}
		for _, l := range told {
			if l.Src != "192.0.2.1" || l.Dst != "192.0.2.2" || l.Direction != "outbound" || l.Process == "" {
				t.Errorf("round %d: %+v", round, l)
			}
		}
		away := func(l line) bool {
			return strings.Contains(l.Condition, "down or gone") || strings.Contains(l.Condition, "no interface")
		}
		switch round {
		case 0:
			ip(t, here, "link set a0 down")
			await("an interface that is down", away)
			ip(t, here, "link set a0 up", "route replace default via 192.0.2.2")
			await("capture after the interface was down", captures)
		case 1:
			ip(t, here, "link delete a0")
			await("an interface that is gone", away)
			join("other0")
			await("capture after another came", captures)
		}
	}
}

// startHelper starts the agent in a namespace until the test ends. The function that it
// returns waits for a line.
func startHelper(t *testing.T, here *os.File, kind string) (await func(what string, ok func(line) bool) line) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVariable+"="+kind)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := inNamespace(here, cmd.Start); err != nil {
		t.Fatal(err)
	}
	lines := make(chan line, 1000)
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			var l line
			if json.Unmarshal(s.Bytes(), &l) == nil {
				lines <- l
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		for range lines { // so that the agent can say all
		}
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("the agent: %v", err)
		}
	})
	return func(what string, ok func(line) bool) line {
		t.Helper()
		limit := time.After(20 * time.Second)
		for {
			select {
			case l, open := <-lines:
				if !open {
					t.Fatalf("the agent ended before %s", what)
				}
				if ok(l) {
					return l
				}
			case <-limit:
				t.Fatalf("no %s", what)
			}
		}
	}
}

// connect makes a connection from here to there, which the returned function ends.
func connect(t *testing.T, here, there *os.File) (end func()) {
	t.Helper()
	var l net.Listener
	var c net.Conn
	if err := inNamespace(there, func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "192.0.2.2:0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := inNamespace(here, func() (err error) {
		c, err = (&net.Dialer{}).DialContext(t.Context(), "tcp4", l.Addr().String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("hello\n")); err != nil {
		t.Fatal(err)
	}
	return func() { _, _ = c.Close(), l.Close() }
}
