package service

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

var compare = flag.Bool("nmap", false, "ask the daemons by nmap -sV too, and log both times")

// namespace is a network namespace of this test, with its loopback up.
type namespace struct {
	t    *testing.T
	file *os.File
}

func newNamespace(t *testing.T) *namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs the command ip of the Debian package iproute2")
	}
	n := &namespace{t: t}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		var err error
		n.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if errors.Is(err, unix.EPERM) {
		t.Skip("needs CAP_SYS_ADMIN, to make network namespaces")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.file.Close() })
	return n
}

// onThread runs f on a thread of its own, which ends with it.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is of no use to others
		done <- f()
	}()
	return <-done
}

func (n *namespace) within(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

// DialContext implements Dialer.
func (n *namespace) DialContext(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = n.within(func() error {
		var d net.Dialer
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// daemon is a real service, and how it is known.
type daemon struct {
	name, command string
	args          []string          // DIR is its folder
	files         map[string]string // by name in DIR
	prepare       string            // a script that runs before, in DIR
	port          uint16
	protocol      string
	service       string
	product       string
	version       bool // that it tells a version is right
	with          bool // the daemon of the row before serves this port too
}

// TestDaemons asks real daemons, each on loopback of a namespace. Those that are not
// installed are left out, with a line that says so.
func TestDaemons(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: real daemons")
	}
	lab := newNamespace(t)
	var up []daemon
	var ports []Asked
	for _, d := range daemons() {
		if d.protocol == "" {
			d.protocol = tcp
		}
		if _, err := exec.LookPath(d.command); err != nil {
			t.Logf("left out: %s is not installed", d.name)
			continue
		}
		if d.with {
			if len(up) == 0 || up[len(up)-1].command != d.command {
				continue
			}
		} else if err := lab.start(d); err != nil {
			t.Logf("left out: %s does not run here: %v", d.name, err)
			continue
		}
		up = append(up, d)
		ports = append(ports, Asked{d.port, d.protocol})
	}
	i, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	found, clues := i.IdentifyAll(t.Context(), lab, netip.MustParseAddr("127.0.0.1"), ports, Hint{Name: "localhost"})
	took := time.Since(began)
	wrong := 0
	for n, d := range up {
		p := found[n]
		if p.GetService() != d.service || p.GetProduct() != d.product || (p.GetVersion() != "") != d.version {
			wrong++
			t.Errorf("%s: taken for %v", d.name, p)
		} else {
			t.Log(describePort(p))
		}
	}
	t.Logf("%d daemons, %d wrong, in %v; %d clues", len(up), wrong, took, len(clues))
	if *compare {
		lab.nmap(up)
	}
}

func describePort(p *pb.Port) string {
	return fmt.Sprintf("%d/%s %s: %s %s [%s] %s %s %q", p.GetPort(), p.GetProtocol(), p.GetService(), p.GetProduct(), p.GetVersion(), p.GetCpe(), p.GetTlsVersion(), p.GetHostKey(), p.GetRemarks())
}

// nmap asks the same ports, for the comparison of times and labels.
func (n *namespace) nmap(up []daemon) {
	for _, proto := range []string{tcp, udp} {
		var list []string
		for _, d := range up {
			if d.protocol == proto {
				list = append(list, fmt.Sprint(d.port))
			}
		}
		scan := map[string]string{tcp: "-sT", udp: "-sU"}[proto]
		began := time.Now()
		var out []byte
		err := n.within(func() (err error) {
			out, err = exec.Command("nmap", "-n", "-Pn", "-sV", "-T4", scan, "-p", strings.Join(list, ","), "127.0.0.1").CombinedOutput()
			return err
		})
		n.t.Logf("nmap of %d ports of %s: %v, %v\n%s", len(list), proto, time.Since(began), err, out)
	}
}

// start runs a daemon and waits until its port is taken.
func (n *namespace) start(d daemon) error {
	dir, err := os.MkdirTemp("", "amoskys-daemon-")
	if err != nil {
		return err
	}
	n.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	fill := strings.NewReplacer("DIR", dir, "PORT", fmt.Sprint(d.port))
	for name, text := range d.files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(fill.Replace(text)), 0o600)); err != nil {
			return err
		}
	}
	if d.prepare != "" {
		c := exec.Command("sh", "-ec", fill.Replace(d.prepare))
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	var args []string
	for _, a := range d.args {
		args = append(args, fill.Replace(a))
	}
	c := exec.Command(d.command, args...)
	c.Dir = dir
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	c.WaitDelay = time.Second
	if err := n.within(c.Start); err != nil {
		return err
	}
	gone := make(chan struct{})
	go func() {
		_ = c.Wait()
		close(gone)
	}()
	n.t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGTERM)
		select {
		case <-gone:
		case <-time.After(2 * time.Second):
			_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
			<-gone
		}
	})
	return n.listening(d, gone, &said)
}

// listening waits until the port is in the kernel's table of sockets.
func (n *namespace) listening(d daemon, gone <-chan struct{}, said *bytes.Buffer) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	want := fmt.Sprintf(":%04X ", d.port)
	for {
		var table []byte
		_ = n.within(func() error {
			for _, name := range []string{d.protocol, d.protocol + "6"} {
				b, err := os.ReadFile("/proc/thread-self/net/" + name)
				if err != nil {
					return err
				}
				table = append(table, b...)
			}
			return nil
		})
		for line := range strings.Lines(string(table)) {
			fields := strings.Fields(line)
			listens := len(fields) > 3 && (fields[3] == "0A" || d.protocol == udp)
			if listens && strings.Contains(fields[1]+" ", want) {
				return nil
			}
		}
		select {
		case <-gone:
			return fmt.Errorf("it ended: %s", lastLines(said.String()))
		case <-deadline:
			return errors.New("it does not listen after 10 s")
		case <-tick.C:
		}
	}
}

func lastLines(s string) string { return s[max(0, len(s)-400):] }
