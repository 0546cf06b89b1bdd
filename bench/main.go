// Command bench measures our hub beside others that keep what they acknowledge: embedded
// NATS JetStream and the OpenTelemetry Collector with a queue on disk. Each runs as a
// process of its own on this machine, in turn with the others, in several rounds, so that
// other work on the machine meets all alike. README.md says what each does and what is
// unequal.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// settings are what the load is made of, the same for all.
type settings struct {
	program  string // amoskys
	against  string // another build of it, or nothing
	rounds   int
	measure  time.Duration
	warmup   time.Duration
	agents   int
	batch    int
	inFlight int
	size     int // bytes of an event; 0 takes that of the recorded events
	dir      string
}

// contender is one that is measured.
type contender struct {
	name  string
	about string
	run   func(ctx context.Context, s *settings) (*result, error)
	sizes bool // it has recorded events, and says how large they are
}

// result is what one run of one contender showed.
type result struct {
	EventsPerSecond float64 `json:"events_per_second"`
	ServerCPU       float64 `json:"server_cpu_us_per_event"`
	P50             float64 `json:"ack_p50_ms"`
	P99             float64 `json:"ack_p99_ms"`
	ServerRSS       int64   `json:"server_rss_bytes"`
	LogPerEvent     float64 `json:"log_bytes_per_event,omitempty"`
	EventBytes      float64 `json:"event_bytes"`
	Failed          uint64  `json:"failed_batches"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted: nothing was measured to its end")
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	if len(args) > 1 && args[0] == serveArg {
		return serve(ctx, args[1])
	}
	var s settings
	var asJSON bool
	var only string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&s.program, "amoskys", "../bin/amoskys", "our program")
	f.StringVar(&s.against, "against", "", "another build of our program, whose hub is measured too")
	f.IntVar(&s.rounds, "rounds", 5, "how often each is measured")
	f.DurationVar(&s.measure, "duration", 6*time.Second, "how long a run is measured")
	f.DurationVar(&s.warmup, "warmup", 2*time.Second, "how long it runs before")
	f.IntVar(&s.agents, "agents", 100, "clients, each with a connection of its own")
	f.IntVar(&s.batch, "batch", 100, "events of a batch")
	f.IntVar(&s.inFlight, "inflight", 4, "batches a client sends ahead of their acknowledgements")
	f.IntVar(&s.size, "size", 0, "bytes of an event that others get (default: what our hub's events have on average)")
	f.StringVar(&s.dir, "dir", "", "folder on the disk to measure (default the system's for temporary files)")
	f.StringVar(&only, "only", "", "names of those to measure, divided by commas")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	if err := f.Parse(args); err != nil {
		return err
	}
	if s.rounds < 1 || s.agents < 1 || s.batch < 1 || s.inFlight < 1 || s.measure <= 0 || s.warmup < 0 {
		return errors.New("rounds, agents, batch, inflight and duration must be above 0")
	}
	if f.NArg() > 0 {
		return fmt.Errorf("%q is one argument too many: it takes flags alone", f.Arg(0))
	}
	chosen, err := choose(contenders(s.against), only)
	if err != nil {
		return err
	}
	if s.size == 0 && !chosen[0].sizes {
		return errors.New("say the -size of events where our hub, which has recorded ones, is not measured")
	}
	r := report{Started: time.Now().UTC().Truncate(time.Second), Rounds: s.rounds, Seconds: s.measure.Seconds(), Runs: map[string][]*result{}}
	for round := range s.rounds {
		for _, c := range chosen {
			got, err := c.run(ctx, &s)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if s.size == 0 {
				s.size = int(got.EventBytes)
			}
			r.Runs[c.name] = append(r.Runs[c.name], got)
			fmt.Fprintf(progress, "%d/%d %-14s %10.0f ev/s  %6.2f µs  p50 %.1f ms  p99 %.1f ms\n",
				round+1, s.rounds, c.name, got.EventsPerSecond, got.ServerCPU, got.P50, got.P99)
		}
	}
	r.summarise(chosen)
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(&r)
	}
	return r.write(out)
}

// contenders are all that can be measured, in their order. The first is our hub: the
// others take the size of its events.
func contenders(against string) []contender {
	all := []contender{
		{"hub", "our hub, batches packed on the same processors", ours(""), true},
		{"hub-packed", "our hub, batches packed before", ours("", "--precompressed"), true},
		{"hub-raw", "our hub, batches not packed", ours("", "--compress", "none"), true},
		{"hub-raw-before", "our hub, batches not packed, made before", ours("", "--compress", "none", "--precompressed"), true},
	}
	if against != "" {
		all = append(all,
			contender{"against", "the other build, batches not packed", ours(against, "--compress", "none"), true},
			contender{"against-before", "the other build, batches not packed, made before", ours(against, "--compress", "none", "--precompressed"), true})
	}
	return append(all,
		contender{"jetstream", "NATS JetStream, one message a batch", runJetStream, false},
		contender{"collector", "OpenTelemetry Collector, queue on disk", runCollector, false})
}

func choose(all []contender, only string) ([]contender, error) {
	if only == "" {
		return all, nil
	}
	names := strings.Split(only, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
		if !slices.ContainsFunc(all, func(c contender) bool { return c.name == names[i] }) {
			return nil, fmt.Errorf("nobody is called %q; -only may name %s (against and against-before with -against)", names[i], namesOf(all))
		}
	}
	return slices.DeleteFunc(all, func(c contender) bool { return !slices.Contains(names, c.name) }), nil
}

func namesOf(all []contender) string {
	names := make([]string, 0, len(all))
	for _, c := range all {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}
