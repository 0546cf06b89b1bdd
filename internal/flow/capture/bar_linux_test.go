package capture

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

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
	fewest, counted := ^uint64(0), 0
	for run := range runs {
		a, b := newNamespaces(t)
		r := barRun(t, a, b, rate, long)
		t.Logf("BAR run %d: %d frames sent in %v (%.0f/s), %d came to the interface; kernel drops: ours %d of %d, tcpdump's %d",
			run+1, r.sent, long, float64(r.sent)/long.Seconds(), r.came, r.ours, r.ours+r.read, r.theirs)
		if float64(r.came) < 0.95*rate*long.Seconds() {
			t.Logf("run %d does not count: this machine did not send at the rate", run+1)
			continue
		}
		counted++
		if r.ours > r.theirs {
			t.Errorf("run %d: %d frames dropped, tcpdump dropped %d", run+1, r.ours, r.theirs)
		}
		fewest = min(fewest, r.ours)
	}
	switch {
	case counted == 0:
		t.Errorf("not judged: no run was at %d frames a second", rate)
	case fewest != 0:
		t.Errorf("no run of %d at %d frames a second was without drops", counted, rate)
	}
}

// barred is what came of a run, in frames. came are those that the interface counted.
type barred struct{ sent, came, read, ours, theirs uint64 }

// barRun sends from a at a rate while we and tcpdump capture in b.
func barRun(t *testing.T, a, b *namespace, rate int, long time.Duration) (r barred) {
	t.Helper()
	// The other side gets frame by frame what is sent by the dozen; without this it would
	// get each dozen as one.
	a.ip("link", "set", "a0", "gso_max_size", "1000")
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

	before := b.received("b0")
	s := a.sender("a0")
	var err error
	onThread(func() { r.sent, err = s.flood(rate, long) })
	close(stop)
	if err := errors.Join(err, <-end, dump.Process.Signal(os.Interrupt), dump.Wait()); err != nil {
		t.Fatal(err)
	}
	counts := regexp.MustCompile(`(\d+) packets? dropped by kernel`).FindSubmatch(said.text)
	if counts == nil {
		t.Fatalf("tcpdump tells of no drops: %s", said.text)
	}
	if r.theirs, err = strconv.ParseUint(string(counts[1]), 10, 64); err != nil {
		t.Fatal(err)
	}
	stats := source.Stats()
	r.came, r.read, r.ours = b.received("b0")-before, stats.Frames, stats.Dropped
	return r
}

// received is how many frames an interface of the namespace has taken in.
func (n *namespace) received(name string) (frames uint64) {
	n.t.Helper()
	if err := n.do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/dev") // see proc_pid_net(5)
		if err != nil {
			return err
		}
		counts := regexp.MustCompile(`(?m)^ *` + name + `: *\d+ +(\d+)`).FindSubmatch(text)
		if counts == nil {
			return errors.New("no counts of " + name)
		}
		frames, err = strconv.ParseUint(string(counts[1]), 10, 64)
		return err
	}); err != nil {
		n.t.Fatal(err)
	}
	return frames
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
