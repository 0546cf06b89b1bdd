package agenttest

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/task"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/obs"
)

// Decoder is one function of an agent that reads bytes from outside: a file of the
// kernel, a packet, an answer over the network.
type Decoder struct {
	Name   string
	Seeds  []string // what it usually reads
	Decode func([]byte)
}

// Bounds on one call of a decoder.
const (
	decodeTime = 2 * time.Second
	// decodeBytes is what it may allocate, and decodeFactor times its input beside.
	decodeBytes   = 1 << 20
	decodeFactor  = 128
	mutationsEach = 400
	mutantBytes   = 64 << 10
)

// decoders feeds each decoder its seeds, mutations of them and noise, the same in
// every run.
func (s Suite) decoders(t *testing.T) {
	if (len(s.Decoders) == 0) == (s.NothingOutside == "") {
		t.Fatal("name the decoders of outside bytes, or say in NothingOutside why there are none")
	}
	for _, d := range s.Decoders {
		t.Run(d.Name, func(t *testing.T) {
			if len(d.Seeds) == 0 {
				t.Fatal("no seeds")
			}
			rng := rand.New(rand.NewPCG(1, uint64(len(d.Name)))) //nolint:gosec // repeatable on purpose
			feed(t, d, nil)
			for _, seed := range d.Seeds {
				feed(t, d, []byte(seed))
				for n := range len(seed) { // every way to be cut off
					if n > 512 {
						break
					}
					feed(t, d, []byte(seed)[:n])
				}
				for range mutationsEach {
					feed(t, d, mutate(rng, []byte(seed)))
				}
			}
		})
	}
}

// feed calls a decoder once, with memory that ends where the input does.
func feed(t *testing.T, d Decoder, input []byte) {
	t.Helper()
	input = slices.Clip(slices.Clone(input))
	defer func() {
		if cause := recover(); cause != nil {
			t.Fatalf("panic %v for %.300q", cause, input)
		}
	}()
	before, begin := allocated(), time.Now()
	d.Decode(input)
	if took := time.Since(begin); took > decodeTime {
		t.Errorf("%v for %d bytes %.300q", took, len(input), input)
	}
	if used := allocated() - before; used > decodeBytes+decodeFactor*uint64(len(input)) {
		t.Errorf("%d bytes allocated for %d: %.300q", used, len(input), input)
	}
}

// allocated is what this process has allocated so far.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// telling are bytes that formats give a meaning.
const telling = "\x00\xff\n\r\t (){}[]\"':;,.-/\\%09xX"

// mutate changes input at a few places in one of the ways in which inputs go wrong.
func mutate(rng *rand.Rand, input []byte) []byte {
	out := slices.Clone(input)
	for range 1 + rng.IntN(4) {
		at := rng.IntN(len(out) + 1)
		switch rng.IntN(7) {
		case 0: // another bit
			if at < len(out) {
				out[at] ^= 1 << rng.IntN(8)
			}
		case 1: // cut off
			out = out[:at]
		case 2: // a byte that means something
			out = slices.Insert(out, at, telling[rng.IntN(len(telling))])
		case 3: // the same again
			out = append(out, out[at:]...)
		case 4: // a part missing
			out = slices.Delete(out, at, min(len(out), at+rng.IntN(8)))
		case 5: // a number that is too large
			out = slices.Insert(out, at, []byte("99999999999999999999")...)
		case 6: // without end
			out = slices.Insert(out, at, []byte(strings.Repeat(string(rune('0'+rng.IntN(10))), rng.IntN(4096)))...)
		}
	}
	return out[:min(len(out), mutantBytes)]
}

// hostileValues are what a caller may send for any parameter.
func hostileValues() []string {
	return []string{
		"", "0", "1", "-1", "-0", "2147483648", "9223372036854775807", "-9223372036854775808", "99999999999999999999",
		"0.5", "NaN", "-Inf", "1e308", "true", "false", "1ns", "-1s", "9999h", "../../../etc/passwd", "/dev/zero", "$(id)",
		"a\x00b", "\xff\xfe", "\x1b[2J", strings.Repeat("x", task.MaxTextBytes), strings.Repeat("9", task.MaxTextBytes+1),
	}
}

// hostileTasks asks for every task with what callers may send. What the task's
// declaration lets through must end soon after its context, whatever it says.
func (s Suite) hostileTasks(t *testing.T) {
	for i := range s.Definition.Tasks {
		k := &s.Definition.Tasks[i]
		t.Run(k.Name, func(t *testing.T) {
			if _, err := k.Parse(map[string]string{"no_such_parameter": "1"}); err == nil {
				t.Error("takes a parameter that it does not declare")
			}
			s.hostileTask(t, k, nil)
			for _, p := range k.Parameters {
				for _, value := range hostileValues() {
					s.hostileTask(t, k, map[string]string{p.Name: value})
				}
			}
		})
	}
}

func (s Suite) hostileTask(t *testing.T, k *task.Task, given map[string]string) {
	t.Helper()
	values, err := k.Parse(given)
	if err != nil {
		return
	}
	tasker, ok := s.newAgent(t).(agent.Tasker)
	if !ok {
		t.Fatal("the definition has tasks and the agent has no RunTask")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if cause := recover(); cause != nil {
				done <- fmt.Errorf("panic: %v", cause)
			}
		}()
		done <- tasker.RunTask(ctx, task.NewCall(k.Name, values, io.Discard, func(task.Progress) {}))
	}()
	select {
	case err := <-done:
		if err != nil && strings.HasPrefix(err.Error(), "panic:") {
			t.Errorf("%q: %v", given, err)
		}
	case <-time.After(stopLimit):
		t.Errorf("%q: still runs %v after it was told to end", given, stopLimit)
		if err := <-done; err != nil { // leave no goroutine to the next
			t.Logf("in the end: %v", err)
		}
	}
}

// newAgent makes an agent that nobody runs.
func (s Suite) newAgent(t *testing.T) agent.Agent {
	t.Helper()
	loaded, err := s.Definition.Load(s.write(t, ""), config.DecodeOptions{Env: config.NoEnv})
	if err != nil {
		t.Fatal(err)
	}
	a, err := loaded.New(s.options(t, loaded.Common, prometheus.NewPedanticRegistry(), NewRecorder()))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// options are what the runtime would give an agent.
func (s Suite) options(t *testing.T, c agent.Common, registry *prometheus.Registry, recorder *Recorder) agent.Options {
	t.Helper()
	home := config.Home(t.TempDir())
	return agent.Options{
		ID: s.Definition.ID, Kind: s.Definition.Kind, Host: "host.example.test", HostID: "0", Interval: c.Interval(),
		Logger: obs.Discard(), Registerer: registry, Home: home, DataDir: string(home), Publisher: recorder,
		Condition: func(string, error) {}, Note: func(string, string) {}, AckTime: func() time.Duration { return time.Millisecond }, Now: time.Now,
	}
}
