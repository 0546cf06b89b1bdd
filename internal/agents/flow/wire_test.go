package flow

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/collect"
	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// said is what an agent reports beside events.
type said struct {
	mu         sync.Mutex
	conditions map[string]error
	notes      map[string]string
}

func (s *said) condition(name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conditions[name] = err
}

func (s *said) note(name, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes[name] = text
}

func (s *said) of(name string) (note string, fault error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notes[name], s.conditions[name]
}

// wired is an agent that runs, and what it says.
type wired struct {
	*said
	*Agent
	recorder *agenttest.Recorder
	registry *prometheus.Registry
	address  string // of its collector
	stop     func() error
}

// wire runs an agent that listens on a free port of loopback.
func wire(t *testing.T, allow string, change func(*Agent)) *wired {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Capture.Interface = interfaceNone
	cfg.Collect.Listen, cfg.Collect.Allow, cfg.Collect.HostLabel = "127.0.0.1:0", []string{allow}, "router"
	w := &wired{said: &said{conditions: map[string]error{}, notes: map[string]string{}}, recorder: agenttest.NewRecorder(), registry: prometheus.NewRegistry()}
	a, err := New(cfg, agent.Options{
		ID: defaultID, Kind: "flow", Host: "h", Interval: time.Minute, Logger: obs.Discard(), Registerer: w.registry,
		Home: config.Home(t.TempDir()), Publisher: w.recorder, Condition: w.condition, Note: w.note, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Agent = a
	open := make(chan string, 1)
	a.collector.opened = func(at net.Addr) { open <- at.String() }
	if change != nil {
		change(a)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	w.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = w.stop() })
	select {
	case w.address = <-open:
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	return w
}

// metric is the sum of a metric's values.
func (w *wired) metric(t *testing.T, name string) (sum float64) {
	t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// exchange writes a capture of a question and its answer over UDP.
func exchange(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "exchange.pcap")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := capture.NewWriter(file, packet.LinkEthernet, 0)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Minute).UnixNano()
	for i, ends := range [][2]byte{{1, 2}, {2, 1}} {
		b := append(make([]byte, 12), 8, 0, 0x45, 0, 0, 48, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, ends[0], 192, 0, 2, ends[1])
		ports := [2]uint16{40000, 53}
		b = binary.BigEndian.AppendUint16(b, ports[i])
		b = binary.BigEndian.AppendUint16(b, ports[1-i])
		b = append(b, 0, 28, 0, 0)
		b = append(b, make([]byte, 20)...)
		if err := out.Write(&packet.Frame{Time: at + int64(i)*1e6, Data: b, Wire: uint32(len(b)), Link: packet.LinkEthernet}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(out.Flush(), file.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCollectsFromSoftflowd: what a real exporter sends is published as our own flows
// are, over UDP and TCP, and counts by exporter and not by interface.
func TestCollectsFromSoftflowd(t *testing.T) {
	if testing.Short() {
		t.Skip("runs another program")
	}
	softflowd, err := exec.LookPath("softflowd")
	if err != nil {
		t.Skip("softflowd is not installed (Debian package softflowd)")
	}
	path := exchange(t)
	w := wire(t, "127.0.0.1", nil)
	for i, args := range [][]string{{"-v", "5"}, {"-v", "9"}, {"-v", "10", "-b"}, {"-v", "10", "-P", "tcp"}, {"-v", "9", "-s", "100"}} {
		args = append(args, "-r", path, "-a", "-d", "-n", w.address, "-p", filepath.Join(t.TempDir(), "pid"), "-c", "none")
		if out, err := exec.CommandContext(t.Context(), softflowd, args...).CombinedOutput(); err != nil {
			t.Fatalf("softflowd: %v\n%s", err, out)
		}
		if i == 4 { // of one packet in a hundred none may be left
			break
		}
		events := w.recorder.Wait(t, 10*time.Second, strings.Join(args[:2], " "), func(events []*pb.Event) bool { return len(events) > i })
		n := events[i].GetNetwork()
		if events[i].GetType() != event.TypeFlowEnded || n.GetSrcEndpoint().GetIp() != "192.0.2.1" || n.GetDstEndpoint().GetPort() != 53 ||
			n.GetBytesOut() != 48 || n.GetBytesIn() != 48 || n.GetExporterIp() != "127.0.0.1" || events[i].GetLabels()["router"] != "127.0.0.1" {
			t.Errorf("%v: %v", args[:2], events[i])
		}
	}
	for name, want := range map[string]float64{
		"amoskys_flow_collected_total": 4, "amoskys_flow_collected_bytes_total": 4 * 96, "amoskys_flow_collect_malformed_total": 0,
		"amoskys_flow_collect_lost_total": 0, "amoskys_flow_collect_refused_total": 0, "flow_bytes_out": 0, "amoskys_flow_frames_total": 0,
	} {
		if got := w.metric(t, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	w.collector.look(time.Now())
	if note, err := w.of(conditionCollect); err != nil || !strings.HasPrefix(note, "4 flows from 1 exporter") {
		t.Errorf("condition %v, note %q", err, note)
	}
	if err := w.stop(); err != nil {
		t.Error(err)
	}
	if faults := w.recorder.Faults(); len(faults) > 0 {
		t.Error(faults)
	}
}

// TestSaysWhoIsRefused: one that is not allowed is named with the address to allow.
func TestSaysWhoIsRefused(t *testing.T) {
	w := wire(t, "192.0.2.1", nil)
	for _, network := range []string{"udp", "tcp"} {
		conn, err := net.Dial(network, w.address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte{0, 5, 0, 1}); err != nil {
			t.Fatal(err)
		}
		if network == "tcp" { // It is closed at once.
			_, _ = conn.Read(make([]byte, 1))
		}
		_ = conn.Close()
	}
	for tick := time.Tick(time.Millisecond); w.metric(t, "amoskys_flow_collect_refused_total") < 2; <-tick {
		continue
	}
	w.collector.look(time.Now())
	_, err := w.of(conditionCollect)
	if err == nil || !strings.Contains(err.Error(), "collect.allow: 127.0.0.1") {
		t.Errorf("condition %v", err)
	}
}

// TestWaitsForItsPort: a port that is taken is said, and opened once it is free.
func TestWaitsForItsPort(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := wire(t, "127.0.0.1", func(a *Agent) {
		a.cfg.Collect.Listen, a.collector.again = taken.LocalAddr().String(), time.Millisecond
		condition := a.o.Condition
		a.o.Condition = func(name string, err error) {
			condition(name, err)
			if err != nil && strings.Contains(err.Error(), "set collect.listen to another address") {
				_ = taken.Close()
			}
		}
	})
	if w.address != taken.LocalAddr().String() {
		t.Errorf("listens on %s", w.address)
	}
}

func TestSilence(t *testing.T) {
	began := time.Unix(1_700_000_000, 0)
	refusal := []collect.Refusal{{From: netip.MustParseAddr("192.0.2.7"), Count: 1, Last: began.Add(time.Second)}}
	for name, c := range map[string]struct {
		last     time.Time
		after    time.Duration
		refusals []collect.Refusal
		want     string
	}{
		"just begun":           {after: time.Minute},
		"nobody":               {after: 6 * time.Minute, want: "no exporter has sent anything to :2055 for 6m0s"},
		"refused":              {after: 5 * time.Second, refusals: refusal, want: "add to collect.allow: 192.0.2.7"},
		"heard, and refused":   {last: began, after: time.Minute, refusals: refusal},
		"gone":                 {last: began, after: 10 * time.Minute, want: "for 10m0s"},
		"gone, refused before": {last: began, after: 11 * time.Minute, refusals: refusal, want: "for 11m0s"},
	} {
		err := silence(":2055", began, c.last, began.Add(c.after), c.refusals)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestCollectsWithoutCapture: an agent that may not capture says so, and collects.
func TestCollectsWithoutCapture(t *testing.T) {
	up := loopback(t)
	w := wire(t, "127.0.0.1", func(a *Agent) {
		a.cfg.Capture.Interface, a.helm.cfg.Interface = up, up
		a.helm.open = func(capture.Options) ([]capture.Source, error) {
			return nil, &capture.PrivilegeError{Needs: "CAP_NET_RAW", Command: "ask", Err: os.ErrPermission}
		}
	})
	for tick := time.Tick(time.Millisecond); ; <-tick {
		if _, err := w.of(conditionCapture); err != nil {
			if !strings.Contains(err.Error(), "CAP_NET_RAW") || !strings.Contains(err.Error(), "capture.interface: none") {
				t.Error(err)
			}
			break
		}
	}
	if err := w.stop(); err != nil {
		t.Error(err)
	}
}

// TestExports: a flow that ended goes to a collector and to a file, and a file that
// cannot be written is said.
func TestExports(t *testing.T) {
	w := wire(t, "127.0.0.1", nil)
	cfg := DefaultConfig()
	cfg.Export = Export{IPFIX: ExportIPFIX{Address: w.address, Network: "tcp"}, ConnLog: ExportConnLog{Path: "logs/conn.log", MaxSizeMB: 1}}
	home := config.Home(t.TempDir())
	from := &Agent{cfg: cfg, o: agent.Options{Home: home, Logger: obs.Discard(), Condition: w.condition, Note: w.note}}
	out, err := newOutlet(from)
	if err != nil {
		t.Fatal(err)
	}
	f := track.Flow{
		Tuple: dissect.Tuple{Src: addrOf(t, "192.0.2.1"), Dst: addrOf(t, "192.0.2.2"), SrcPort: 40000, DstPort: 443, Protocol: 6},
		First: time.Now().Add(-time.Second).UnixNano(), Last: time.Now().UnixNano(), State: "SF", End: track.Finished,
		Out: track.Side{Packets: 4, Bytes: 400}, In: track.Side{Packets: 3, Bytes: 3000},
	}
	run := func() {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- out.run(ctx) }()
		out.add(&f)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	run() // there is no folder logs
	if s := out.ways()["conn_log"]; s.Dropped != 1 || s.Faults == 0 || out.fault() == nil || !strings.Contains(out.fault().Error(), "export.conn_log.path") {
		t.Errorf("%+v, %v", s, out.fault())
	}
	if err := os.Mkdir(home.Path("logs"), 0o700); err != nil {
		t.Fatal(err)
	}
	out.log.retry = time.Time{}
	run()
	b, err := os.ReadFile(home.Path("logs/conn.log"))
	if err != nil || !strings.Contains(string(b), `"id.resp_p":443`) {
		t.Errorf("%s, %v", b, err)
	}
	events := w.recorder.Wait(t, 10*time.Second, "exported flows", func(events []*pb.Event) bool { return len(events) > 1 })
	if n := events[1].GetNetwork(); n.GetBytesIn() != 3000 || n.GetDstEndpoint().GetPort() != 443 {
		t.Errorf("%v", n)
	}
}
