package flow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/lane"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// lab is two hosts, each with one interface, and what lies between them. Nothing but
// the test speaks there: IPv6 is off, so that no host looks for neighbours by itself.
type lab struct {
	t    *testing.T
	a, b *os.File
}

const (
	labA, labB = "192.0.2.1", "192.0.2.2"
	macA, macB = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
	// labMSS is the payload of a full segment: 1500 bytes less the headers of IPv4 and
	// of TCP with time stamps.
	labMSS = 1448
)

// newLab joins two hosts by a cable.
func newLab(t *testing.T) *lab {
	l := &lab{t: t, a: newSilent(t), b: newSilent(t)}
	l.cable(l.a, "a0", macA, l.b, "b0", macB)
	ip(t, l.a, "address add "+labA+"/24 dev a0", "link set a0 up")
	ip(t, l.b, "address add "+labB+"/24 dev b0", "link set b0 up")
	return l
}

// newLossyLab puts a relay between two hosts that loses and delays frames. It stands
// for netem, which kernels may lack, and loses the same share each time. Segmentation
// and checksums are left to no card, so that frames are as on a wire.
func newLossyLab(t *testing.T) *lab {
	l := &lab{t: t, a: newSilent(t), b: newSilent(t)}
	between := newSilent(t)
	l.cable(l.a, "a0", macA, between, "ra", "02:00:00:00:00:1a")
	l.cable(l.b, "b0", macB, between, "rb", "02:00:00:00:00:1b")
	ip(t, l.a, "address add "+labA+"/24 dev a0", "link set a0 up")
	ip(t, l.b, "address add "+labB+"/24 dev b0", "link set b0 up")
	ip(t, between, "link set ra up", "link set rb up")
	for _, end := range []struct {
		in   *os.File
		name string
	}{{l.a, "a0"}, {l.b, "b0"}, {between, "ra"}, {between, "rb"}} {
		l.noOffloads(end.in, end.name)
	}
	left, right := l.socket(between, "ra"), l.socket(between, "rb")
	var stop atomic.Bool
	var running sync.WaitGroup
	running.Go(func() { relay(left, right, &stop) })
	running.Go(func() { relay(right, left, &stop) })
	t.Cleanup(func() {
		stop.Store(true)
		running.Wait()
		_, _ = unix.Close(left), unix.Close(right)
	})
	return l
}

func newSilent(t *testing.T) *os.File {
	t.Helper()
	n := newNamespace(t)
	for _, which := range []string{"all", "default"} {
		if err := inNamespace(n, func() error {
			return os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("1"), 0)
		}); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return n
}

func (l *lab) cable(in *os.File, name, mac string, peerIn *os.File, peer, peerMAC string) {
	l.t.Helper()
	ip(l.t, in, fmt.Sprintf("link add %s address %s type veth peer name %s address %s", name, mac, peer, peerMAC),
		fmt.Sprintf("link set %s netns /proc/%d/fd/%d", peer, os.Getpid(), peerIn.Fd()))
}

// noOffloads makes the kernel do what it leaves to cards (linux/ethtool.h).
func (l *lab) noOffloads(in *os.File, name string) {
	l.t.Helper()
	const setRXChecksum, setTXChecksum, setTSO, setGSO, setGRO = 0x15, 0x17, 0x1f, 0x24, 0x2c
	if err := inNamespace(in, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, command := range []uint32{setTXChecksum, setTSO, setGSO, setGRO, setRXChecksum} {
			value := struct{ command, data uint32 }{command, 0}
			request := struct {
				name  [unix.IFNAMSIZ]byte
				value unsafe.Pointer
				_     [16]byte
			}{value: unsafe.Pointer(&value)}
			copy(request.name[:], name)
			_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
			if errno != 0 && errno != unix.EOPNOTSUPP {
				return fmt.Errorf("ethtool %#x of %s: %w", command, name, errno)
			}
		}
		return nil
	}); err != nil {
		l.t.Fatal(err)
	}
}

// socket takes all that comes in by an interface, and sends out of it.
func (l *lab) socket(in *os.File, name string) (fd int) {
	l.t.Helper()
	if err := inNamespace(in, func() (err error) {
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
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 5000}),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: on.Index}),
		)
	}); err != nil {
		l.t.Fatal(err)
	}
	return fd
}

// relay passes frames on, but loses one in 50 and the first that ends a connection, and
// lets three go before one in ten. What is held back goes on after 5 ms at the latest.
func relay(from, to int, stop *atomic.Bool) {
	const flagsAt, fin = 14 + 20 + 13, 1
	buffer := make([]byte, 1<<16)
	var held []byte
	ended := false
	for frames := 1; !stop.Load(); {
		n, err := unix.Read(from, buffer)
		if err != nil {
			if held != nil {
				_, _ = unix.Write(to, held)
				held = nil
			}
			continue
		}
		frames++
		ends := n > flagsAt && buffer[12] == 8 && buffer[13] == 0 && buffer[23] == unix.IPPROTO_TCP && buffer[flagsAt]&fin != 0
		switch {
		case ends && !ended:
			ended = true
			continue
		case frames%50 == 0:
			continue
		case frames%10 == 0:
			held = append(held[:0:0], buffer[:n]...)
			continue
		}
		_, _ = unix.Write(to, buffer[:n])
		if held != nil && frames%10 == 3 {
			_, _ = unix.Write(to, held)
			held = nil
		}
	}
}

// transfers makes connections at once from a to b; each sends size bytes, and is
// answered by a quarter of it.
func (l *lab) transfers(connections, size int) {
	l.t.Helper()
	var server net.Listener
	if err := inNamespace(l.b, func() (err error) {
		server, err = (&net.ListenConfig{}).Listen(l.t.Context(), "tcp4", labB+":0")
		return err
	}); err != nil {
		l.t.Fatal(err)
	}
	var running sync.WaitGroup
	errs := make(chan error, 2*connections)
	for range connections {
		running.Go(func() { errs <- answer(server, size/4) })
		running.Go(func() {
			errs <- inNamespace(l.a, func() error { return send(l.t.Context(), server.Addr().String(), size) })
		})
	}
	running.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			l.t.Error(err)
		}
	}
	if err := server.Close(); err != nil {
		l.t.Error(err)
	}
	l.ended(l.a)
	l.ended(l.b)
}

// ended waits until no connection of a host sends anything by itself: a kernel goes on
// with its last segment after the program closed. In TIME_WAIT (6) it only answers.
func (l *lab) ended(in *os.File) {
	l.t.Helper()
	var open []string
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
		open = nil
		if err := inNamespace(in, func() error {
			table, err := os.ReadFile("/proc/thread-self/net/tcp")
			for _, line := range strings.Split(strings.TrimSpace(string(table)), "\n")[1:] {
				if state := strings.Fields(line)[3]; state != "06" {
					open = append(open, line)
				}
			}
			return err
		}); err != nil {
			l.t.Fatal(err)
		}
		if open == nil {
			return
		}
	}
	l.t.Fatalf("connections that do not end:\n%s", strings.Join(open, "\n"))
}

func answer(server net.Listener, size int) error {
	c, err := server.Accept()
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, c)
	_, wrote := c.Write(make([]byte, size))
	return errors.Join(err, wrote, c.Close())
}

func send(ctx context.Context, to string, size int) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp4", to)
	if err != nil {
		return err
	}
	_, wrote := c.Write(make([]byte, size))
	shut := c.(*net.TCPConn).CloseWrite()
	_, read := io.Copy(io.Discard, c)
	return errors.Join(wrote, shut, read, c.Close())
}

// datagrams sends some of several sizes, one larger than a frame.
func (l *lab) datagrams() {
	l.t.Helper()
	if err := inNamespace(l.a, func() error {
		c, err := (&net.Dialer{}).DialContext(l.t.Context(), "udp4", labB+":9")
		if err != nil {
			return err
		}
		for _, size := range []int{1, 100, 1400, 5000} {
			_, _ = c.Write(make([]byte, size)) // a port that nobody has refuses it
		}
		return c.Close()
	}); err != nil {
		l.t.Fatal(err)
	}
}

// tcpCounts reads the line Tcp of a host's /proc/net/snmp.
func (l *lab) tcpCounts(of *os.File) map[string]uint64 {
	l.t.Helper()
	var table []byte
	if err := inNamespace(of, func() (err error) {
		table, err = os.ReadFile("/proc/thread-self/net/snmp")
		return err
	}); err != nil {
		l.t.Fatal(err)
	}
	var names []string
	counts := map[string]uint64{}
	for line := range strings.Lines(string(table)) {
		if !strings.HasPrefix(line, "Tcp: ") {
			continue
		}
		if names == nil {
			names = strings.Fields(line)
			continue
		}
		for i, text := range strings.Fields(line)[1:] {
			var v int64
			if _, err := fmt.Sscan(text, &v); err != nil {
				l.t.Fatal(err)
			}
			counts[names[i+1]] = uint64(v)
		}
	}
	return counts
}

// countsOfA reads the counters of a's interface, both directions together.
func (l *lab) countsOfA() (frames, bytes uint64) {
	l.t.Helper()
	const name = "a0"
	if err := inNamespace(l.a, func() error {
		table, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(table)) {
			var r, s struct{ bytes, frames uint64 }
			var skip uint64
			rest, is := strings.CutPrefix(strings.TrimSpace(line), name+":")
			if !is {
				continue
			}
			if _, err := fmt.Sscan(rest, &r.bytes, &r.frames, &skip, &skip, &skip, &skip, &skip, &skip, &s.bytes, &s.frames); err != nil {
				return err
			}
			frames, bytes = r.frames+s.frames, r.bytes+s.bytes
			return nil
		}
		return fmt.Errorf("no interface %s", name)
	}); err != nil {
		l.t.Fatal(err)
	}
	return frames, bytes
}

// tcpdump writes what it sees on an interface to a file, until stop.
func (l *lab) tcpdump(in *os.File, name string) (stop func() *seenByTcpdump) {
	l.t.Helper()
	if _, err := exec.LookPath("tcpdump"); err != nil {
		l.t.Skip("needs the command tcpdump of the Debian package of that name")
	}
	file := filepath.Join(l.t.TempDir(), "tcpdump.pcap")
	cmd := exec.CommandContext(l.t.Context(), "tcpdump", "-Z", "root", "-n", "-s", "96", "-B", "32768", "--immediate-mode", "-i", name, "-w", file)
	says, err := cmd.StderrPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := inNamespace(in, cmd.Start); err != nil {
		l.t.Fatal(err)
	}
	var text strings.Builder
	for b := make([]byte, 256); !strings.Contains(text.String(), "listening on"); {
		n, err := says.Read(b)
		if text.Write(b[:n]); err != nil {
			l.t.Fatalf("tcpdump: %v: %s", err, text.String())
		}
	}
	return func() *seenByTcpdump {
		l.t.Helper()
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			l.t.Fatal(err)
		}
		rest, _ := io.ReadAll(says)
		if err := cmd.Wait(); err != nil {
			l.t.Fatalf("tcpdump: %v: %s", err, rest)
		}
		if !strings.Contains(string(rest), "\n0 packets dropped by kernel") {
			l.t.Skipf("tcpdump lost frames, so that there is nothing to compare: %s", rest)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			l.t.Fatal(err)
		}
		return readTcpdump(data)
	}
}

// watched is what the lane of an interface made of its frames.
type watched struct {
	flows          []track.Flow
	counts         lane.Counts
	stats          capture.Stats
	out, in        track.Side // of TCP
	packets, bytes uint64     // of all flows
	also           track.Consumer
}

func (w *watched) Opened(f *track.Flow) {
	if w.also != nil {
		w.also.Opened(f)
	}
}
func (*watched) Updated(*track.Flow) {}

func (w *watched) Ended(f *track.Flow) {
	w.flows = append(w.flows, *f)
	w.packets += f.Out.Packets + f.In.Packets
	w.bytes += f.Out.Bytes + f.In.Bytes
	if f.Protocol == unix.IPPROTO_TCP {
		for sum, side := range map[*track.Side]*track.Side{&w.out: &f.Out, &w.in: &f.In} {
			sum.Packets += side.Packets
			sum.Retransmissions += side.Retransmissions
		}
	}
}

// watch captures from an interface. The returned function waits until nothing came for
// six waits of the source, and closes it.
func (l *lab) watch(in *os.File, name string) (stop func() *watched) {
	l.t.Helper()
	return l.watchFor(in, name, nil)
}

// watchFor is watch that also tells another of the flows, unless that is nil.
func (l *lab) watchFor(in *os.File, name string, also track.Consumer) (stop func() *watched) {
	l.t.Helper()
	var sources []capture.Source
	if err := inNamespace(in, func() (err error) {
		sources, err = capture.Open(capture.Options{Interface: name, Snap: 256, Blocks: 64})
		return err
	}); err != nil {
		l.t.Fatal(err)
	}
	w := &watched{also: also}
	ctx, cancel := context.WithCancel(l.t.Context())
	var finish atomic.Bool
	quiet, frames := 0, uint64(0)
	run := lane.New(lane.Options{
		Source: sources[0], Table: track.Options{Consumer: w},
		Every: func(c lane.Counts) {
			if quiet++; c.Frames != frames || !finish.Load() {
				quiet, frames = 0, c.Frames
			}
			if quiet >= 6 {
				cancel()
			}
		},
	})
	end := make(chan error, 1)
	go func() { end <- run.Run(ctx) }()
	stopped := sync.OnceFunc(func() {
		finish.Store(true)
		if err := <-end; !errors.Is(err, context.Canceled) {
			l.t.Error(err)
		}
		run.Close()
		w.counts, w.stats = run.Counts(), sources[0].Stats()
		if err := sources[0].Close(); err != nil {
			l.t.Error(err)
		}
	})
	l.t.Cleanup(func() { cancel(); stopped() })
	return func() *watched {
		stopped()
		if w.stats.Dropped != 0 {
			l.t.Skipf("the kernel dropped %d frames, so that there is nothing to compare", w.stats.Dropped)
		}
		return w
	}
}

// same tells of numbers that should be the same.
func (l *lab) same(what string, got, want uint64) {
	l.t.Helper()
	if got != want {
		l.t.Errorf("%s: %d, want %d", what, got, want)
	}
}
