package hub

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// The test binary runs a hub instead of tests when these are set.
const (
	childVariable     = "AMOSKYS_HUB_TEST_HOME"
	childPortVariable = "AMOSKYS_HUB_TEST_PORT"
)

// runChild serves until it is killed or its standard input ends.
func runChild(home string) {
	port, err := strconv.Atoi(os.Getenv(childPortVariable))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	h, err := openHub(config.Home(home), func(o *Options, _ *StorageOptions) {
		o.Config.Server.Port = port
		o.Config.WAL.RotationSizeMB = 1 // many segments, so that checkpoints matter
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	fmt.Fprintf(os.Stdout, "READY %d\n", h.storage.OpenTook().Microseconds())
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := h.stopNow(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// victim is a hub in a process of its own.
type victim struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	begun  time.Time
}

func startVictim(t *testing.T, home config.Home, port int) *victim {
	t.Helper()
	v := &victim{cmd: exec.Command(os.Args[0], "-test.run=^$"), begun: time.Now()}
	v.cmd.Env = append(os.Environ(), childVariable+"="+string(home), childPortVariable+"="+strconv.Itoa(port))
	v.cmd.Stderr = os.Stderr
	stdout, err := v.cmd.StdoutPipe()
	if err == nil {
		v.stdin, err = v.cmd.StdinPipe()
	}
	if err == nil {
		err = v.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	v.stdout = bufio.NewReader(stdout)
	return v
}

// ready waits until the hub serves, and returns how long that took from the start
// of the process, and how long opening the log did.
func (v *victim) ready(t *testing.T) (start, open time.Duration) {
	t.Helper()
	line, err := v.stdout.ReadString('\n')
	if err != nil {
		t.Fatalf("the hub did not start: %q, %v", line, err)
	}
	start = time.Since(v.begun)
	us, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "READY ")))
	if err != nil {
		t.Fatalf("the hub said %q", line)
	}
	return start, time.Duration(us) * time.Microsecond
}

// kill is SIGKILL.
func (v *victim) kill(t *testing.T) {
	t.Helper()
	if err := v.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = v.cmd.Wait()
}

func (v *victim) stop(t *testing.T) {
	t.Helper()
	_ = v.stdin.Close()
	if err := v.cmd.Wait(); err != nil {
		t.Errorf("the hub ended with %v", err)
	}
}

const (
	killBatch    = 10 // events of a batch
	killPace     = 2 * time.Millisecond
	killInFlight = 32
)

// stubborn is a publisher that keeps what is not acknowledged and sends it again
// after every loss, in order and with the same sequences, as the contract says.
type stubborn struct {
	number  int
	codec   codec.Codec // packs its batches
	conn    *grpc.ClientConn
	unacked []*pb.PublishRequest
	next    uint64 // sequence of the next batch
	acked   uint64 // every batch up to here was acknowledged
}

// eventOf makes the event i of a batch; its id tells all about it.
func (p *stubborn) eventOf(sequence uint64, i int) []byte {
	id := make([]byte, 16)
	id[0], id[1] = byte(p.number+1), byte(i+1)
	binary.BigEndian.PutUint64(id[8:], sequence)
	// Events are long, packed or not, so that segments end often: what a checkpoint
	// forgets shows only right behind the start of one.
	text := make([]byte, 250)
	_, _ = rand.NewChaCha8([32]byte(append(id, id...))).Read(text)
	b, err := proto.Marshal(&pb.Event{
		Id: id, Time: timestamppb.Now(), Host: ownHost, Type: "process.execution", Message: hex.EncodeToString(text),
	})
	if err != nil {
		panic(err)
	}
	return b
}

// batch makes the next batch and keeps it.
func (p *stubborn) batch() *pb.PublishRequest {
	r := &pb.PublishRequest{ProducerId: sixteen(p.number + 1), Sequence: p.next}
	for i := range killBatch {
		r.Events = append(r.Events, p.eventOf(p.next, i))
	}
	if p.codec != codec.None {
		raw := mustMarshal(&pb.EventBatch{Events: r.GetEvents()})
		r.Events, r.Compressed, r.Codec = nil, p.codec.Pack(nil, raw), pb.Codec(p.codec)
	}
	p.next++
	p.unacked = append(p.unacked, r)
	return r
}

// run publishes until stop is closed, then until all is acknowledged.
func (p *stubborn) run(ctx context.Context, stop <-chan struct{}) error {
	pace := time.NewTicker(killPace)
	defer pace.Stop()
	for {
		done, err := p.stream(ctx, stop, pace.C)
		if done || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		<-pace.C
	}
}

// stream is one connection's worth: what is unacknowledged again, then new ones.
func (p *stubborn) stream(ctx context.Context, stop <-chan struct{}, pace <-chan time.Time) (done bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := pb.NewEventBusClient(p.conn).Publish(ctx, grpc.WaitForReady(true))
	if err != nil {
		return false, err
	}
	acks := make(chan *pb.PublishAck, killInFlight)
	var reader errgroup.Group
	reader.Go(func() error {
		defer close(acks)
		for {
			ack, err := s.Recv()
			if err != nil {
				return err
			}
			acks <- ack
		}
	})
	defer func() { // the reader must not outlive us
		cancel()
		for range acks {
		}
		_ = reader.Wait()
	}()
	for _, r := range p.unacked {
		if err := s.Send(r); err != nil {
			return false, err
		}
	}
	stopped := stop
	for {
		if stopped == nil && len(p.unacked) == 0 {
			return true, nil
		}
		tick := pace
		if stopped == nil || len(p.unacked) >= killInFlight {
			tick = nil
		}
		select {
		case <-stopped:
			stopped = nil
		case <-tick:
			if err := s.Send(p.batch()); err != nil {
				return false, err
			}
		case ack, ok := <-acks:
			if !ok {
				return false, io.ErrUnexpectedEOF
			}
			if err := p.take(ack); err != nil {
				return false, err
			}
		}
	}
}

var errRetry = errors.New("hub asked to retry")

func (p *stubborn) take(ack *pb.PublishAck) error {
	first := p.unacked[0]
	if ack.GetStatus() == pb.PublishAck_STATUS_RETRY {
		return errRetry // begin again with what is unacknowledged
	}
	if ack.GetSequence() != first.GetSequence() || len(ack.GetRefused()) > 0 {
		panic(fmt.Sprintf("ack %v for batch %d", ack, first.GetSequence()))
	}
	p.acked, p.unacked = first.GetSequence(), p.unacked[1:]
	return nil
}

// singles sends single events, each again and again until it is stored.
type singles struct {
	*stubborn
}

func (p singles) run(ctx context.Context, stop <-chan struct{}) error {
	client := pb.NewEventBusClient(p.conn)
	for ; ; p.next++ {
		select {
		case <-stop:
			p.acked = p.next - 1
			return nil
		default:
		}
		var ev pb.Event
		if err := proto.Unmarshal(p.eventOf(p.next, 0), &ev); err != nil {
			return err
		}
		for {
			call, cancel := context.WithTimeout(ctx, 5*time.Second)
			_, err := client.PublishEvent(call, &ev, grpc.WaitForReady(true))
			cancel()
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
}

// killsVariable names how often TestKill kills; 'make bars' sets it to 100.
const killsVariable = "AMOSKYS_TEST_KILLS"

// TestKill kills the hub with SIGKILL at random moments under load. At the end no
// acknowledged event may be missing and none may be there twice.
func TestKill(t *testing.T) {
	for name, tt := range map[string]struct{ packers int }{"as they are": {0}, "packed": {5}} {
		t.Run(name, func(t *testing.T) { killUnderLoad(t, tt.packers) })
	}
}

// killUnderLoad has so many of the six publishers of batches pack them.
func killUnderLoad(t *testing.T, packers int) {
	t.Helper()
	kills := 15
	switch full := os.Getenv(killsVariable); {
	case full != "":
		n, err := strconv.Atoi(full)
		if err != nil || n <= 0 {
			t.Fatalf("%s is no number of kills: %q", killsVariable, full)
		}
		kills = n
	case testing.Short():
		kills = 5
	}
	const seed = 20260301
	random := rand.New(rand.NewPCG(seed, seed))
	home, port := newHome(t), freePort(t)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	dial := func(name string) *grpc.ClientConn {
		return dialFiles(t, addr, identity.FilesFor(home.Certs(), name), grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 5 * time.Millisecond, Multiplier: 1.5, MaxDelay: 30 * time.Millisecond},
			MinConnectTimeout: 5 * time.Second,
		}))
	}

	stop := make(chan struct{})
	publishing, ctx := errgroup.WithContext(t.Context())
	publishers := make([]*stubborn, 8)
	for i := range publishers {
		p := &stubborn{number: i, conn: dial("agent"), next: 1}
		if i < packers {
			p.codec = codec.S2
		}
		publishers[i] = p
		if i >= 6 {
			publishing.Go(func() error { return singles{p}.run(ctx, stop) })
		} else {
			publishing.Go(func() error { return p.run(ctx, stop) })
		}
	}

	var starts, opens []time.Duration
	v := startVictim(t, home, port)
	for n := range kills {
		if n%10 == 9 { // while it starts
			wait(t, time.Duration(random.IntN(int(60*time.Millisecond))))
			v.kill(t)
			v = startVictim(t, home, port)
			continue
		}
		start, open := v.ready(t)
		starts, opens = append(starts, start), append(opens, open)
		wait(t, 20*time.Millisecond+time.Duration(random.IntN(int(300*time.Millisecond))))
		v.kill(t)
		v = startVictim(t, home, port)
	}
	start, open := v.ready(t)
	starts, opens = append(starts, start), append(opens, open)
	checkRecovery(t, starts, opens)
	close(stop)
	if err := publishing.Wait(); err != nil {
		t.Fatal(err)
	}
	checkOnce(t, dial("operator"), publishers, uint64(min(kills, 10)))
	v.stop(t)
}

// checkRecovery holds the times against the bar. A machine that is busy with other
// things may start a process late now and then; opening the log may not be late.
func checkRecovery(t *testing.T, starts, opens []time.Duration) {
	t.Helper()
	slices.Sort(starts)
	slices.Sort(opens)
	most := len(starts) - 1
	t.Logf("%d recoveries: process start to serving took %v, at most %v; opening the log %v, at most %v",
		len(starts), starts[most/2], starts[most], opens[most/2], opens[most])
	if limit := time.Second; os.Getenv(killsVariable) != "" && !raceEnabled && (starts[most*9/10] > limit || opens[most] > limit) {
		t.Errorf("recovery took longer than %v", limit)
	}
}

// checkOnce reads the whole log and holds it against what was acknowledged, of each
// publisher at least so many batches; of those who send single events at least one, for
// each waits for the disk and a busy machine leaves them few.
func checkOnce(t *testing.T, conn *grpc.ClientConn, publishers []*stubborn, least uint64) {
	t.Helper()
	events, gaps, _ := subscribeAll(t, conn, &pb.SubscribeRequest{NoFollow: true, Start: &pb.SubscribeRequest_FromOffset{}})
	if len(gaps) > 0 {
		t.Errorf("gaps in the log: %v", gaps)
	}
	type place struct {
		publisher, event byte
		sequence         uint64
	}
	count := make(map[place]int, len(events))
	for _, e := range events {
		var ev pb.Event
		if err := proto.Unmarshal(e.GetEvent(), &ev); err != nil {
			t.Fatal(err)
		}
		id := ev.GetId()
		count[place{id[0], id[1], binary.BigEndian.Uint64(id[8:])}]++
	}
	lost, twice, want := 0, 0, 0
	for _, n := range count {
		if n > 1 {
			twice++
		}
	}
	for i, p := range publishers {
		events := killBatch
		if i >= 6 {
			events = 1
		}
		for seq := uint64(1); seq <= p.acked; seq++ {
			for e := range events {
				want++
				if count[place{byte(i + 1), byte(e + 1), seq}] == 0 {
					lost++
				}
			}
		}
		if i >= 6 {
			least = 1
		}
		if p.acked < least {
			t.Errorf("publisher %d had %d batches acknowledged: that is no load", i, p.acked)
		}
	}
	t.Logf("%d events acknowledged, %d in the log", want, len(events))
	if lost > 0 || twice > 0 {
		t.Errorf("%d acknowledged events are lost, %d are there twice", lost, twice)
	}
}

// wait lets a process outside run for a while.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
