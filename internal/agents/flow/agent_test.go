package flow

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
)

func TestTemplateIsTheDefault(t *testing.T) {
	got := Config{Findings: DefaultConfig().Findings} // of which the template has few
	if err := config.Decode("template", ConfigTemplate(), &got, config.DecodeOptions{Env: config.NoEnv}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(DefaultConfig(), got); diff != "" {
		t.Error(diff)
	}
}

// TestConformance captures datagrams that it sends to itself over loopback.
func TestConformance(t *testing.T) {
	sources, err := capture.Open(capture.Options{Interface: loopback(t), Blocks: 2})
	if err != nil {
		t.Skipf("needs to capture from loopback: %v", err)
	}
	for _, s := range sources {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	port := chatter(t)
	agenttest.Suite{
		Definition: Definition(),
		Config: "agent: {interval_seconds: 0.5}\ncapture: {interface: " + loopback(t) + ", bpf_filter: 'udp port " + port +
			"'}\naggregation: {timeout_seconds: 1}",
		Types: []string{event.TypeFlowCreated, event.TypeFlowUpdated, event.TypeFlowEnded},
		Metrics: []string{
			"flow_bytes_in", "flow_bytes_out", "flow_packets_in", "flow_packets_out", "flow_duration_seconds",
			"amoskys_flow_frames_total", "amoskys_flow_kernel_drops_total", "amoskys_flow_decode_errors_total",
			"amoskys_flow_active", "amoskys_flow_suppressed_total", "amoskys_flow_ended_total",
		},
		Decoders: decoders(),
	}.Run(t)
}

// loopback is the name of that interface.
func loopback(t *testing.T) string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 && i.Flags&net.FlagUp != 0 {
			return i.Name
		}
	}
	t.Skip("needs loopback up")
	return ""
}

// chatter sends, until the test ends, datagrams to a port of loopback: a flow goes on
// for two seconds, then there is another.
func chatter(t *testing.T) (port string) {
	t.Helper()
	hear, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() {
		close(stop)
		<-stopped
		_ = hear.Close()
		goleak.VerifyNone(t)
	})
	_, port, _ = net.SplitHostPort(hear.LocalAddr().String())
	to := hear.LocalAddr().(*net.UDPAddr).AddrPort()
	go func() {
		defer close(stopped)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		var from *net.UDPConn
		for n := 0; ; n++ {
			if n%20 == 0 {
				if from != nil {
					_ = from.Close()
				}
				from, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
				if err != nil {
					return
				}
			}
			_, _ = from.WriteToUDPAddrPort([]byte("hello"), to)
			select {
			case <-tick.C:
			case <-stop:
				_ = from.Close()
				return
			}
		}
	}()
	return port
}

// TestWrongFilter: the fault shows where it is.
func TestWrongFilter(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Capture.BPFFilter = "tcp and port http-x"
	v := config.NewCheck()
	cfg.Validate(v)
	if faults := v.Faults(); len(faults) != 1 {
		t.Fatalf("faults %v", faults)
	}
}

// script is a source of what a test says.
type script struct {
	steps  []error // nil is a frame
	at     int64
	closed bool
}

func (s *script) Next(f *packet.Frame) error {
	if len(s.steps) == 0 {
		return capture.ErrQuiet
	}
	err := s.steps[0]
	s.steps = s.steps[1:]
	s.at += int64(30 * time.Millisecond)
	f.Time = s.at
	return err
}
func (s *script) Stats() capture.Stats { return capture.Stats{Frames: 7} }
func (s *script) Close() error         { s.closed = true; return nil }

// TestTapIsQuietAmongFrames: steady frames do not keep time from passing, and a source
// that is lost is closed and its counts stay.
func TestTapIsQuietAmongFrames(t *testing.T) {
	var lost error
	tp := newTap(func(_ capture.Source, err error) { lost = err })
	gone := errors.New("gone")
	first := &script{at: 1_000_000_000, steps: append(make([]error, 20), gone)}
	tp.give(first)
	var f packet.Frame
	frames, quiet := 0, 0
	for lost == nil {
		switch err := tp.Next(&f); {
		case err == nil:
			frames++
		case errors.Is(err, capture.ErrQuiet):
			quiet++
		default:
			t.Fatal(err)
		}
	}
	if frames != 20 || quiet < 5 || !errors.Is(lost, gone) || !first.closed {
		t.Errorf("%d frames, %d times quiet, lost %v, closed %t", frames, quiet, lost, first.closed)
	}
	second := &script{steps: []error{nil}}
	tp.give(&script{})
	tp.give(second) // the one before was never read
	for tp.Next(&f) != nil {
		continue
	}
	if got := tp.Stats().Frames; got != 14 {
		t.Errorf("%d frames, want those of both sources that were read", got)
	}
	if err := tp.Close(); err != nil || !second.closed {
		t.Errorf("error %v, closed %t", err, second.closed)
	}
}

// TestNames: an address has the name that was asked for, until its time is over.
func TestNames(t *testing.T) {
	var n names
	addr := func(i int) packet.Addr { return packet.Addr4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	n.learn(&dissect.DNS{Asked: true, Query: "www.example.com", Answers: []dissect.DNSAnswer{
		{Type: "CNAME", Data: "cdn.example.net"}, {Type: "A", TTL: 3600, Addr: addr(1)},
	}}, 0)
	n.learn(&dissect.DNS{Query: "forged.example.com", Answers: []dissect.DNSAnswer{{Type: "A", TTL: 86400, Addr: addr(1)}}}, 0)
	n.learn(&dissect.DNS{Asked: true, Query: "short.example.com", Answers: []dissect.DNSAnswer{{Type: "A", TTL: 1, Addr: addr(2)}}}, 0)
	for _, tt := range []struct {
		addr  int
		after time.Duration
		want  string
	}{
		{1, time.Minute, "www.example.com"},
		{1, 2 * time.Hour, ""},
		{2, 5 * time.Minute, "short.example.com"},
		{2, 11 * time.Minute, ""},
		{3, 0, ""},
	} {
		if got := n.of(addr(tt.addr), int64(tt.after)); got != tt.want {
			t.Errorf("address %d after %v: %q, want %q", tt.addr, tt.after, got, tt.want)
		}
	}
	for i := range 3 * maxNames {
		n.learn(&dissect.DNS{Asked: true, Query: "x", Answers: []dissect.DNSAnswer{{Type: "A", TTL: 3600, Addr: addr(i)}}}, 0)
	}
	if got := len(n.young) + len(n.old); got > maxNames {
		t.Errorf("%d names are kept", got)
	}
}

func decoders() []agenttest.Decoder {
	return append(systemDecoders(), agenttest.Decoder{
		Name: "stat", Seeds: []string{"1 (init) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 42 1 1"},
		Decode: func(b []byte) { parseStat(b) },
	}, agenttest.Decoder{Name: "socket", Seeds: []string{"socket:[42]"}, Decode: func(b []byte) { socketInode(b) }})
}

func TestParseStat(t *testing.T) {
	for _, tt := range []struct {
		text string
		want stat
		ok   bool
	}{
		{"7 (a b) c) S 3 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1 1\n", stat{"a b) c", 3, 4242}, true},
		{"7 (x) S -1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1 1\n", stat{name: "x"}, false},
		{"7 (x) S 3 7", stat{name: "x"}, false},
		{"7 )x(", stat{}, false},
		{"", stat{}, false},
	} {
		if got, ok := parseStat([]byte(tt.text)); got != tt.want || ok != tt.ok {
			t.Errorf("%q: %+v, %t", tt.text, got, ok)
		}
	}
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("7 (a b) c) S 3 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1 1\n"))
	f.Add([]byte("socket:[42]"))
	f.Fuzz(func(_ *testing.T, b []byte) { parseStat(b); socketInode(b) })
}

// addrOf is the 16 bytes of an address.
func addrOf(t *testing.T, text string) packet.Addr {
	t.Helper()
	a, err := netip.ParseAddr(text)
	if err != nil {
		t.Fatal(err)
	}
	return a.As16()
}
