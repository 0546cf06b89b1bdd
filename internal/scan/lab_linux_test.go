package scan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace that a test made. It ends with the test.
type namespace struct {
	t    testing.TB
	file *os.File
}

func newNamespace(t testing.TB) *namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs the command ip of the Debian package iproute2")
	}
	n := &namespace{t: t}
	var err error
	onThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			n.file, err = os.Open("/proc/thread-self/ns/net")
		}
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
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread is of no use to others
		f()
	}()
	<-done
}

// do runs f within the namespace: sockets that it opens, and processes that it starts,
// are of it.
func (n *namespace) do(f func() error) {
	n.t.Helper()
	var err error
	onThread(func() {
		if err = unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err == nil {
			err = f()
		}
	})
	if err != nil {
		n.t.Fatal(err)
	}
}

// ip runs commands of ip(8) within the namespace, all at once.
func (n *namespace) ip(commands ...string) {
	n.t.Helper()
	n.do(func() error {
		cmd := exec.CommandContext(n.t.Context(), "ip", "-batch", "-")
		cmd.Stdin = strings.NewReader(strings.Join(commands, "\n"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %v: %w: %s", commands, err, out)
		}
		return nil
	})
}

// lab is a scanner at 10.77.255.254 and hosts at 10.77.0.1 and up, which are one
// machine with many addresses.
type lab struct {
	t               testing.TB
	scanner, subnet *namespace
	hosts           int
}

func newLab(t testing.TB, hosts int) *lab {
	t.Helper()
	l := &lab{t: t, scanner: newNamespace(t), subnet: newNamespace(t), hosts: hosts}
	l.scanner.ip("link add a0 address 02:00:00:00:00:0a type veth peer name b0 address 02:00:00:00:00:0b",
		fmt.Sprintf("link set b0 netns /proc/%d/fd/%d", os.Getpid(), l.subnet.file.Fd()),
		"address add 10.77.255.254/16 dev a0", "link set lo up", "link set a0 up")
	l.fill()
	return l
}

// newLossyLab is a lab whose cable loses one packet in every so many, each time the
// same ones.
func newLossyLab(t testing.TB, hosts, oneIn int) *lab {
	t.Helper()
	l := &lab{t: t, scanner: newNamespace(t), subnet: newNamespace(t), hosts: hosts}
	between := newNamespace(t)
	for _, end := range []struct {
		of    *namespace
		names string
	}{{l.scanner, "a0 address 02:00:00:00:00:0a type veth peer name ra"}, {l.subnet, "b0 address 02:00:00:00:00:0b type veth peer name rb"}} {
		peer := end.names[strings.LastIndex(end.names, " ")+1:]
		end.of.ip("link add "+end.names, fmt.Sprintf("link set %s netns /proc/%d/fd/%d", peer, os.Getpid(), between.file.Fd()))
	}
	between.ip("link set ra up", "link set rb up")
	l.scanner.ip("address add 10.77.255.254/16 dev a0", "link set lo up", "link set a0 up")
	l.fill()
	left, right := packetSocket(between, "ra"), packetSocket(between, "rb")
	var stop atomic.Bool
	var running sync.WaitGroup
	running.Go(func() { relay(left, right, oneIn, &stop) })
	running.Go(func() { relay(right, left, oneIn, &stop) })
	t.Cleanup(func() {
		stop.Store(true)
		running.Wait()
		_, _ = unix.Close(left), unix.Close(right)
	})
	return l
}

func (l *lab) fill() {
	l.t.Helper()
	commands := make([]string, 0, l.hosts+2)
	for i := range l.hosts {
		commands = append(commands, fmt.Sprintf("address add %s/16 dev b0", l.host(i)))
	}
	l.subnet.ip(append(commands, "link set lo up", "link set b0 up")...)
}

func (l *lab) host(i int) string { return fmt.Sprintf("10.77.%d.%d", (i+1)/256, (i+1)%256) }

// targets are all hosts of the lab.
func (l *lab) targets() string { return l.host(0) + "-" + l.host(l.hosts-1) }

// silence keeps what hosts would answer by IP from going out; ARP they answer.
func (l *lab) silence(hosts ...int) {
	l.t.Helper()
	commands := make([]string, 0, len(hosts))
	for _, i := range hosts {
		commands = append(commands, "rule add from "+l.host(i)+" blackhole")
	}
	l.subnet.ip(commands...)
}

// listen opens ports ("10.77.0.1:22", or ":80" for all hosts) until the test ends.
func (l *lab) listen(addresses ...string) {
	l.t.Helper()
	l.subnet.do(func() error {
		for _, a := range addresses {
			at, err := net.ResolveTCPAddr("tcp4", a)
			if err != nil {
				return err
			}
			s, err := net.ListenTCP("tcp4", at)
			if err != nil {
				return err
			}
			l.t.Cleanup(func() { s.Close() })
		}
		return nil
	})
}

// scan runs a scan from the scanner's namespace.
func (l *lab) scan(o order) result {
	l.t.Helper()
	return scanFrom(l.t, l.scanner, o)
}

func scanFrom(t testing.TB, from *namespace, o order) (r result) {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), helperVariable+"="+string(text))
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	from.do(cmd.Start)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	return r
}

// packetSocket takes all that comes in by an interface, and sends out of it.
func packetSocket(in *namespace, name string) (fd int) {
	in.t.Helper()
	in.do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		on, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 5000}),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: on.Index}),
		)
	})
	return fd
}

// relay passes frames on, but loses one in so many. It stands for netem, which kernels
// may lack.
func relay(from, to, oneIn int, stop *atomic.Bool) {
	buffer := make([]byte, 1<<16)
	for frames := 1; !stop.Load(); {
		n, err := unix.Read(from, buffer)
		if err != nil {
			continue
		}
		if frames++; frames%oneIn != 0 {
			_, _ = unix.Write(to, buffer[:n])
		}
	}
}
