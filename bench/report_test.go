package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"testing"
	"time"
)

// TestSummarise: ratios are taken in each round, and the middle of them is held against
// the bar.
func TestSummarise(t *testing.T) {
	run := func(speed, cpu, p99 float64) *result {
		return &result{EventsPerSecond: speed, ServerCPU: cpu, P99: p99}
	}
	r := report{Rounds: 3, Runs: map[string][]*result{
		// The machine is slow in the second round, for both.
		"hub-packed": {run(900, 1, 10), run(90, 10, 100), run(1000, 1, 10)},
		"jetstream":  {run(300, 4, 40), run(10, 40, 300), run(200, 4, 30)},
		"collector":  {run(1, 1, 1)},
	}}
	chosen, err := choose(contenders(""), "hub-packed,jetstream,collector")
	if err != nil {
		t.Fatal(err)
	}
	r.summarise(chosen)
	if len(r.Medians) != 3 || r.Medians[0].EventsPerSecond != 900 || r.Medians[1].P99 != 40 {
		t.Errorf("medians %+v", r.Medians)
	}
	if len(r.Ratios) != 1 || r.Ratios[0].Value != 5 || r.Ratios[0].Least != 3 || r.Ratios[0].Most != 9 || !r.Ratios[0].Held {
		t.Errorf("ratios %+v", r.Ratios)
	}
	var b bytes.Buffer
	if err := r.write(&b); err != nil || !strings.Contains(b.String(), "held") {
		t.Errorf("%v\n%s", err, b.String())
	}
	r.Runs["jetstream"] = []*result{run(301, 1, 1)}
	r.Ratios, r.Medians = nil, nil
	r.summarise(chosen)
	if len(r.Ratios) != 1 || r.Ratios[0].Held {
		t.Errorf("below the bar: %+v", r.Ratios)
	}
}

func TestChoose(t *testing.T) {
	if _, err := choose(contenders(""), "hub, nobody"); err == nil {
		t.Error("a name that nobody has is taken")
	}
	if err := run(t.Context(), []string{"hub"}, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "one argument too many") {
		t.Errorf("an argument that is no flag: %v", err)
	}
	if all, err := choose(contenders("x"), ""); err != nil || len(all) != 8 {
		t.Errorf("%d, %v", len(all), err)
	}
}

// TestSizeIsKnown: nobody is measured with events of no size.
func TestSizeIsKnown(t *testing.T) {
	err := run(t.Context(), []string{"-only", "jetstream,collector", "-amoskys", "nothing"}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "-size") {
		t.Errorf("without our hub: %v", err)
	}
	chosen, err := choose(contenders(""), "jetstream, hub-packed")
	if err != nil || len(chosen) != 2 || !chosen[0].sizes || chosen[1].sizes {
		t.Errorf("chosen %+v, %v", chosen, err)
	}
}

// TestNothingIsAcknowledged: who acknowledges nothing has no figures, and nobody waits
// for what is on its way.
func TestNothingIsAcknowledged(t *testing.T) {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	for want, send := range map[error]sender{
		refused: func(context.Context) error { return refused },
		errSlow: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		s := &settings{agents: 2, inFlight: 1, batch: 1, measure: 20 * time.Millisecond}
		server := &child{cmd: &exec.Cmd{Process: self}}
		r, err := drive(t.Context(), s, server, func(context.Context, int) (sender, func(), error) { return send, func() {}, nil })
		if !errors.Is(err, want) {
			t.Errorf("%+v, %v, want %v", r, err, want)
		}
	}
}

// TestPeers: each other server starts, takes a load over TLS, acknowledges it, and leaves
// nothing behind.
func TestPeers(t *testing.T) {
	for _, c := range contenders("") {
		if strings.HasPrefix(c.name, "hub") {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			s := settings{agents: 3, batch: 10, inFlight: 2, size: 300, warmup: 100 * time.Millisecond, measure: 300 * time.Millisecond, dir: t.TempDir()}
			r, err := c.run(t.Context(), &s)
			if err != nil || r.EventsPerSecond <= 0 || r.P99 < r.P50 || r.P50 <= 0 || r.ServerRSS <= 0 || r.Failed > 0 {
				t.Errorf("%+v, %v", r, err)
			}
			if left, err := os.ReadDir(s.dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// TestBrokenOff: `amoskys bench hub` is interrupted and not killed, so that it can remove what it made.
func TestBrokenOff(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv(fakeProgram, l.Addr().String())
	ctx, cancel := context.WithCancel(t.Context())
	said := make(chan string, 1)
	go func() {
		defer cancel()
		conn, err := l.Accept() // it runs
		if err != nil {
			said <- err.Error()
			return
		}
		defer conn.Close()
		cancel()
		text, _ := io.ReadAll(conn)
		said <- string(text)
	}()
	_, err = ours("")(ctx, &settings{program: os.Args[0], measure: 1, warmup: 1, agents: 1, batch: 1, inFlight: 1})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if text := <-said; text != "removed what I made" {
		t.Errorf("the program said %q", text)
	}
}

// fakeProgram is a variable with an address: the program that has it is a fake of amoskys,
// which runs until it is interrupted and then says so there.
const fakeProgram = "BENCH_TEST_FAKE_PROGRAM"

func beInterrupted(addr string) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		panic(err)
	}
	<-ctx.Done()
	fmt.Fprint(conn, "removed what I made")
	_ = conn.Close()
}

// TestMain runs a server, or a fake of amoskys, where this program is started as one.
func TestMain(m *testing.M) {
	if addr := os.Getenv(fakeProgram); addr != "" {
		beInterrupted(addr)
		return
	}
	if len(os.Args) == 3 && os.Args[1] == serveArg {
		if err := serve(context.Background(), os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1) //nolint:forbidigo // it is another program here
		}
		return
	}
	os.Exit(m.Run()) //nolint:forbidigo // what TestMain is for
}
