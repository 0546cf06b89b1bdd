package capture

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// TestLiveBar holds capture against tcpdump at the rate that we promise: five runs,
// in each of which both capture the same frames. In the best of them our kernel drops
// are none, and in none are they more than tcpdump's. CAPTURE_BAR is how long a run
// is; `make bars` takes 10 seconds. It needs a machine that does little else.
func TestLiveBar(t *testing.T) {
	long, err := time.ParseDuration(os.Getenv("CAPTURE_BAR"))
	if err != nil {
		t.Skip("CAPTURE_BAR is not a duration; make bars sets it")
	}
	if _, err := exec.LookPath("tcpdump"); err != nil {
		t.Skip("needs tcpdump, to compare with")
	}
	const rate, runs = 500_000, 5
	fewest := ^uint64(0)
	for run := range runs {
		a, b := newNamespaces(t)
		ours, theirs, sent := barRun(t, a, b, rate, long)
		t.Logf("run %d: %d frames sent in %v (%.0f/s); kernel drops: ours %d, tcpdump's %d", run+1, sent, long, float64(sent)/long.Seconds(), ours, theirs)
		if float64(sent) < 0.95*rate*long.Seconds() {
			t.Logf("run %d does not count: this machine did not send at the rate", run+1)
			continue
		}
		if ours > theirs {
			t.Errorf("run %d: %d frames dropped, tcpdump dropped %d", run+1, ours, theirs)
		}
		fewest = min(fewest, ours)
	}
	if fewest != 0 {
		t.Errorf("no run was at %d frames a second without drops", rate)
	}
}

// barRun sends from a at a rate while we and tcpdump capture in b. It gives how many
// frames each kernel ring dropped, and how many frames were sent.
func barRun(t *testing.T, a, b *namespace, rate int, long time.Duration) (ours, theirs uint64, sent int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long+time.Minute)
	defer cancel()
	dump := exec.CommandContext(ctx, "tcpdump", "-i", "b0", "-n", "-w", "/dev/null")
	said := &ready{begun: make(chan struct{})}
	dump.Stderr = said
	if err := b.do(dump.Start); err != nil {
		t.Fatal(err)
	}
	select {
	case <-said.begun:
	case <-ctx.Done():
		t.Fatalf("tcpdump did not begin: %s", said.text)
	}
	source := b.open(Options{Interface: "b0", Blocks: 128})[0]
	stop, end := make(chan struct{}), make(chan error, 1)
	var d packet.Decoder
	go func() { end <- decodeUntil(stop, source, &d) }()

	s := a.sender("a0")
	var err error
	onThread(func() { sent, err = s.flood(rate, long) })
	close(stop)
	if err := errors.Join(err, <-end, dump.Process.Signal(os.Interrupt), dump.Wait()); err != nil {
		t.Fatal(err)
	}
	counts := regexp.MustCompile(`(\d+) packets? dropped by kernel`).FindSubmatch(said.text)
	if counts == nil {
		t.Fatalf("tcpdump tells of no drops: %s", said.text)
	}
	if theirs, err = strconv.ParseUint(string(counts[1]), 10, 64); err != nil {
		t.Fatal(err)
	}
	return source.Stats().Dropped, theirs, sent
}

// decodeUntil reads and decodes frames until stop is closed and none are left.
func decodeUntil(stop <-chan struct{}, s Source, d *packet.Decoder) error {
	var f packet.Frame
	var p packet.Packet
	for {
		err := s.Next(&f)
		switch {
		case err == nil:
			_ = d.Decode(&f, &p) // faults do not matter to the rate
		case errors.Is(err, ErrQuiet):
			select {
			case <-stop:
				return nil
			default:
			}
		default:
			return err
		}
	}
}

// ready is what a tcpdump says; begun is closed once it says that it listens.
type ready struct {
	text  []byte
	begun chan struct{}
}

func (r *ready) Write(b []byte) (int, error) {
	listens := regexp.MustCompile(`listening on`)
	before := listens.Match(r.text)
	r.text = append(r.text, b...)
	if !before && listens.Match(r.text) {
		close(r.begun)
	}
	return len(b), nil
}

// flood sends frames of 100 bytes at a rate, 64 with each call of sendmmsg(2), from
// one processor. It must have a thread of its own.
func (s *sender) flood(rate int, long time.Duration) (sent int, err error) {
	const batch = 64
	var one unix.CPUSet
	one.Set(runtime.NumCPU() - 1)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return 0, err
	}
	frames := make([][]byte, batch)
	vectors := make([]unix.Iovec, batch)
	type message struct {
		header unix.Msghdr
		length uint32
		_      [4]byte
	}
	messages := make([]message, batch)
	for i := range messages {
		frames[i] = testUDP(uint16(i))
		vectors[i].Base = &frames[i][0]
		vectors[i].SetLen(len(frames[i]))
		messages[i].header.Iov = &vectors[i]
		messages[i].header.SetIovlen(1)
	}
	for begin := time.Now(); ; {
		passed := time.Since(begin)
		if passed >= long {
			return sent, nil
		}
		if float64(sent) > passed.Seconds()*float64(rate) {
			runtime.Gosched() // ahead of the rate: the loop itself is the wait
			continue
		}
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&messages[0])), batch, 0, 0, 0)
		if errno != 0 && errno != unix.ENOBUFS {
			return sent, errno
		}
		if errno == 0 {
			sent += int(n)
		}
	}
}

// testUDP is a frame of 100 bytes, of a flow for each number.
func testUDP(number uint16) []byte {
	f := make([]byte, 100)
	copy(f, []byte{2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 8, 0, 0x45, 0, 0, 86, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 200, byte(number >> 8), byte(number), 0, 9, 0, 66})
	return f
}
