package scanner

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
	"slices"
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

// helperVariable makes the test's program the agent, which prints what it publishes. Its
// value is the agent's data folder.
const helperVariable = "SCANNER_TEST_HELPER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperVariable); dir != "" {
		if err := helper(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1) //nolint:forbidigo // a main of its own
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// line is what the helper prints of an event.
type line struct {
	Type, UID, Name string
	IP, Changed     []string
	Ports           []uint32
}

type printer struct{ out *json.Encoder }

func (p printer) Publish(_ context.Context, events ...*pb.Event) error {
	for _, ev := range events {
		d := ev.GetDevice()
		l := line{Type: ev.GetType(), UID: d.GetUid(), Name: d.GetHostname(), IP: d.GetIp(), Changed: d.GetChanged()}
		for _, port := range d.GetPorts() {
			l.Ports = append(l.Ports, port.GetPort())
		}
		if err := p.out.Encode(l); err != nil {
			return err
		}
	}
	return nil
}

// helper runs the agent until it is interrupted.
func helper(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg := DefaultConfig()
	cfg.Hear.Interfaces = []string{"a0"}
	cfg.Discovery.Subnets, cfg.Discovery.PortRange, cfg.Discovery.Names = []string{"192.0.2.0/29"}, "7777", false
	cfg.Discovery.Methods.Fingerprinting = false
	a, err := New(cfg, agent.Options{
		ID: defaultID, Host: "gate", Interval: 500 * time.Millisecond, Logger: obs.Discard(), DataDir: dir,
		Registerer: prometheus.NewRegistry(), Publisher: printer{json.NewEncoder(os.Stdout)},
		Note: func(string, string) {}, Condition: func(string, error) {},
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

// TestLab: the agent, of one host with a link to another, finds that and its port, tells
// when the port closes, and hears a client of DHCP that it never asked.
func TestLab(t *testing.T) {
	if testing.Short() {
		t.Skip("makes network namespaces")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs the command ip of the Debian package iproute2")
	}
	here, there := newNamespace(t), newNamespace(t)
	ip(t, here, "link set lo up", "link add a0 type veth peer name b0",
		fmt.Sprintf("link set b0 netns /proc/%d/fd/%d", os.Getpid(), there.Fd()), "address add 192.0.2.1/29 dev a0", "link set a0 up")
	ip(t, there, "link set b0 address 00:00:5e:00:53:02", "address add 192.0.2.2/29 dev b0", "link set b0 up", "route add default dev b0")
	lines := start(t, here)

	var l net.Listener
	if err := inNamespace(there, func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "192.0.2.2:7777")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	await(t, lines, "the port", func(l line) bool {
		return l.UID == "mac-00005e005302" && slices.Contains(l.IP, "192.0.2.2") && slices.Equal(l.Ports, []uint32{7777})
	})
	_ = l.Close()
	await(t, lines, "that the port closed", func(l line) bool {
		return l.UID == "mac-00005e005302" && slices.Contains(l.Changed, "ports") && len(l.Ports) == 0
	})
	if err := inNamespace(there, func() error {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "udp4", "192.0.2.1:67")
		if err != nil {
			return err
		}
		_, err = c.Write(request([6]byte{2, 0, 0x5e, 0, 0x53, 9}, [4]byte{192, 0, 2, 5}))
		return errors.Join(err, c.Close())
	}); err != nil {
		t.Fatal(err)
	}
	await(t, lines, "a device that was heard", func(l line) bool { return l.UID == "mac-02005e005309" && l.Name == "desk" })
}

// start runs the helper in a namespace until the test ends, and gives what it prints.
func start(t *testing.T, namespace *os.File) <-chan line {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVariable+"="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := inNamespace(namespace, cmd.Start); err != nil {
		t.Fatal(err)
	}
	lines, read := make(chan line, 1000), make(chan struct{})
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
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("the agent: %v", err)
		}
	})
	return lines
}

func await(t *testing.T, lines <-chan line, what string, ok func(line) bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case l, open := <-lines:
			if !open {
				t.Fatalf("the agent ended before %s", what)
			}
			if ok(l) {
				return
			}
		case <-limit:
			t.Fatalf("nothing told of %s", what)
		}
	}
}
