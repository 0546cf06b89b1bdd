package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// namespace is a network namespace that a test made. It ends with the test.
type namespace struct {
	t    testing.TB
	file *os.File
}

// newNamespaces makes two namespaces, joined by a pair of interfaces a0 and b0 with
// addresses 192.0.2.1 and 192.0.2.2.
func newNamespaces(t testing.TB) (a, b *namespace) {
	t.Helper()
	a, b = newNamespace(t), newNamespace(t)
	a.ip("link", "add", "a0", "address", "02:00:00:00:00:0a", "type", "veth", "peer", "name", "b0", "address", "02:00:00:00:00:0b")
	a.ip("link", "set", "b0", "netns", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), b.file.Fd()))
	a.ip("address", "add", "192.0.2.1/24", "dev", "a0")
	b.ip("address", "add", "192.0.2.2/24", "dev", "b0")
	for _, n := range []*namespace{a, b} {
		n.ip("link", "set", "lo", "up")
	}
	a.ip("link", "set", "a0", "up")
	b.ip("link", "set", "b0", "up")
	return a, b
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

// do runs f within the namespace: sockets that it opens, and processes that it
// starts, are of it.
func (n *namespace) do(f func() error) error {
	var err error
	onThread(func() {
		if err = unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err == nil {
			err = f()
		}
	})
	return err
}

func (n *namespace) ip(args ...string) {
	n.t.Helper()
	if err := n.do(func() error {
		out, err := exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
		return nil
	}); err != nil {
		n.t.Fatal(err)
	}
}

// open captures within the namespace until the test ends.
func (n *namespace) open(o Options) []Source {
	n.t.Helper()
	var sources []Source
	if err := n.do(func() (err error) {
		sources, err = Open(o)
		return err
	}); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		for _, s := range sources {
			if err := s.Close(); err != nil {
				n.t.Error(err)
			}
		}
	})
	return sources
}

// sender sends frames out of an interface of the namespace.
type sender struct{ fd int }

func (n *namespace) sender(name string) *sender {
	n.t.Helper()
	s := &sender{}
	if err := n.do(func() error {
		on, err := Find(name)
		if err != nil {
			return err
		}
		if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Bind(s.fd, &unix.SockaddrLinklayer{Ifindex: on.Index})
	}); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = unix.Close(s.fd) })
	return s
}

func (s *sender) send(frame []byte) error {
	for {
		_, err := unix.Write(s.fd, frame)
		if !errors.Is(err, unix.ENOBUFS) {
			return err
		}
	}
}

// experimental is the EtherType that IEEE 802 leaves for trials, which no kernel
// sends by itself.
const experimental = 0x88b5

// testFrame is one of EtherType experimental with a number.
func testFrame(number uint32, length int) []byte {
	b := make([]byte, max(length, 18))
	copy(b, []byte{2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, experimental >> 8, experimental & 0xff})
	binary.BigEndian.PutUint32(b[14:], number)
	return b
}

// only gives a filter that takes one EtherType.
func only(kind uint32) func(packet.Link) ([]bpf.RawInstruction, error) {
	return func(packet.Link) ([]bpf.RawInstruction, error) {
		return bpf.Assemble([]bpf.Instruction{
			bpf.LoadAbsolute{Off: 12, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: kind, SkipFalse: 1},
			bpf.RetConstant{Val: 1 << 30},
			bpf.RetConstant{Val: 0},
		})
	}
}

// untilQuiet reads frames until none come for six waits, so that a busy machine may
// be late with some.
func untilQuiet(t testing.TB, s Source, each func(*packet.Frame)) {
	t.Helper()
	var f packet.Frame
	for quiet := 0; quiet < 6; {
		err := s.Next(&f)
		if errors.Is(err, ErrQuiet) {
			quiet++
			continue
		}
		quiet = 0
		if err != nil {
			t.Fatal(err)
		}
		each(&f)
	}
}
