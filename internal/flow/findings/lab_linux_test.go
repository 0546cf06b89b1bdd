package findings

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// namespace is a network namespace that a test made. It ends with the test.
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

func (n *namespace) ip(args ...string) {
	n.t.Helper()
	n.do(func() error {
		out, err := exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
		return nil
	})
}

// TestScannersAreFound lets real scanners loose on a host in a network of two.
func TestScannersAreFound(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: a lab with real scanners")
	}
	scanner, victim := newNamespace(t), newNamespace(t)
	scanner.ip("link", "add", "a0", "address", "02:00:00:00:00:0a", "type", "veth", "peer", "name", "b0", "address", "02:00:00:00:00:0b")
	scanner.ip("link", "set", "b0", "netns", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), victim.file.Fd()))
	scanner.ip("address", "add", "192.0.2.1/24", "dev", "a0")
	victim.ip("address", "add", "192.0.2.2/24", "dev", "b0")
	scanner.ip("link", "set", "a0", "up")
	victim.ip("link", "set", "b0", "up")
	scanner.ip("route", "add", "default", "via", "192.0.2.2")

	for _, c := range []struct {
		want    Kind
		command string
	}{
		{PortScan, "nmap -n -Pn -sS 192.0.2.2"},
		{PortScan, "nmap -n -Pn -sT 192.0.2.2"},
		{StealthScan, "nmap -n -Pn -sF 192.0.2.2"},
		{StealthScan, "nmap -n -Pn -sN 192.0.2.2"},
		{StealthScan, "nmap -n -Pn -sX 192.0.2.2"},
		{UDPScan, "nmap -n -Pn -sU 192.0.2.2"},
		{PortScan, "nmap -f -n -Pn -sS 192.0.2.2"},
		{UDPScan, "nmap -g 53 -n -Pn -sU 192.0.2.2"},
		{NetworkSweep, "masscan 198.51.100.0/24 -p22 --rate 500 --wait 0 --interface a0 --source-ip 192.0.2.1 --router-mac 02:00:00:00:00:0b"},
	} {
		t.Run(c.command[:min(18, len(c.command))], func(t *testing.T) {
			words := strings.Fields(c.command)
			if _, err := exec.LookPath(words[0]); err != nil {
				t.Skipf("needs the Debian package %s", words[0])
			}
			var sources []capture.Source
			victim.do(func() (err error) {
				sources, err = capture.Open(capture.Options{Interface: "b0", Blocks: 4})
				return err
			})
			defer func() { _ = sources[0].Close() }()
			var output bytes.Buffer
			command := exec.CommandContext(t.Context(), words[0], words[1:]...)
			command.Stdout, command.Stderr, command.Dir = &output, &output, t.TempDir()
			scanner.do(command.Start)
			ended := make(chan struct{})
			go func() { defer close(ended); _ = command.Wait() }()
			defer func() { _ = command.Process.Kill(); <-ended }()

			took, told := watchUntil(t, sources[0], c.want, ended)
			if told == nil {
				<-ended
				t.Fatalf("no %s was found:\n%s", c.want, output.String())
			}
			t.Logf("after %s: %s", took, told.GetFinding().GetDescription())
		})
	}
}

// watchUntil reads frames until a finding of a kind is told, or the command has ended
// and a while has passed. took is from the first frame on, by their clock.
func watchUntil(t *testing.T, s capture.Source, want Kind, ended chan struct{}) (took time.Duration, told *pb.Event) {
	t.Helper()
	w := New(DefaultConfig(), func(e *pb.Event) {
		if e.GetType() == TypePrefix+want.String() {
			told = e
		}
	})
	table := track.New(track.Options{Consumer: w, Engine: dissect.New(dissect.Options{})})
	var decoder packet.Decoder
	var frame packet.Frame
	var p packet.Packet
	var first int64
	for quiet := 0; told == nil && quiet < 30; {
		err := s.Next(&frame)
		switch {
		case errors.Is(err, capture.ErrQuiet):
			now := time.Now().UnixNano()
			table.Advance(now)
			w.Advance(now)
			select {
			case <-ended:
				quiet++
			default:
			}
			continue
		case err != nil:
			t.Fatal(err)
		}
		if decoder.Decode(&frame, &p) != nil && p.Version == 0 {
			continue
		}
		if first == 0 && p.Version == 4 {
			first = frame.Time
		}
		table.Add(&p)
	}
	if told != nil {
		took = told.GetTime().AsTime().Sub(time.Unix(0, first))
	}
	return took, told
}
