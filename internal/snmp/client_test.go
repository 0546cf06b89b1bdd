package snmp_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/play"
	"github.com/amoskys/amoskys/internal/snmp/snmptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const system = "1.3.6.1.2.1.1"

// small is a device with a bit of everything.
const small = `1.3.6.1.2.1.1.1.0|4|a small switch
1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.99999.1
1.3.6.1.2.1.1.3.0|67|123456
1.3.6.1.2.1.1.5.0|4|sw-1
1.3.6.1.2.1.2.2.1.2.1|4|port 1
1.3.6.1.2.1.2.2.1.2.2|4|port 2
1.3.6.1.2.1.2.2.1.2.4294967295|4|the last index there is
1.3.6.1.2.1.2.2.1.6.1|4x|0000c0ffee00
1.3.6.1.2.1.2.2.1.10.1|65|4294967295
1.3.6.1.2.1.2.2.1.10.2|65|0
1.3.6.1.2.1.4.20.1.1.192.0.2.7|64|192.0.2.7
1.3.6.1.2.1.31.1.1.1.6.1|70|18446744073709551615
1.3.6.1.2.1.31.1.1.1.6.2|70|128
1.3.6.1.4.1.99999.1.1.0|2|-2147483648
1.3.6.1.4.1.99999.1.2.0|66|50
1.3.6.1.4.1.99999.1.3.0|4|
1.3.6.1.4.1.99999.1.4.0|68x|9f780441c80000
1.3.6.1.4.1.99999.1.5.0|5|
`

// start plays the recording as a device and opens a client for it.
func start(t *testing.T, recording string, edit func(*snmp.Target)) (*play.Device, *snmp.Client) {
	t.Helper()
	d := play.NewDevice("public", snmptest.Load(t, recording))
	_, at := snmptest.Start(t, d)
	return d, open(t, at, edit)
}

func open(t *testing.T, at netip.AddrPort, edit func(*snmp.Target)) *snmp.Client {
	t.Helper()
	target := snmp.Target{Addr: at, Credential: snmp.Credential{Community: "public"}, Timeout: 10 * time.Second}
	if edit != nil {
		edit(&target)
	}
	c, err := snmp.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// walked is what a walk gives, as lines of OID and text.
func walked(ctx context.Context, c snmp.Getter, root string) ([]string, error) {
	var lines []string
	err := c.Walk(ctx, root, func(v snmp.Variable) error {
		lines = append(lines, fmt.Sprintf("%s %s %s", v.OID, v.Type, v.Text()))
		return nil
	})
	return lines, err
}

func TestWalkReadsWhatWasRecorded(t *testing.T) {
	t.Parallel()
	record := snmptest.Load(t, small)
	want, err := walked(t.Context(), record, "1.3.6")
	if err != nil || len(want) != 18 {
		t.Fatalf("recording: %d variables, %v", len(want), err)
	}
	for _, version := range []snmp.Version{snmp.V1, snmp.V2c} {
		for _, rows := range []int{1, 2, 3, 50} {
			t.Run(fmt.Sprintf("%s/%d", version, rows), func(t *testing.T) {
				t.Parallel()
				_, c := start(t, small, func(target *snmp.Target) {
					target.Credential.Version, target.MaxRepetitions = version, rows
				})
				lines, err := walked(t.Context(), c, "1.3.6")
				if err != nil {
					t.Fatal(err)
				}
				expect := want
				if version == snmp.V1 { // which has no Counter64
					expect = nil
					for _, line := range want {
						if !strings.Contains(line, "Counter64") {
							expect = append(expect, line)
						}
					}
				}
				compareWalks(t, lines, expect)
			})
		}
	}
}

// compareWalks forgives the one thing that the library reads and a recording does
// not: floating point numbers within Opaque.
func compareWalks(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d variables, want %d: %q", len(got), len(want), got)
	}
	for i := range got {
		if got[i] != want[i] && !strings.Contains(got[i], "Float 25") {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	for _, version := range []snmp.Version{snmp.V1, snmp.V2c} {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			_, c := start(t, small, func(target *snmp.Target) { target.Credential.Version = version })
			got, err := c.Get(t.Context(), system+".5.0", system+".99.0", "."+system+".3.0", "1.3.6.1.2.1.2.2.1.2.4294967295")
			if err != nil {
				t.Fatal(err)
			}
			if got[0].Text() != "sw-1" || !got[1].Missing() || got[2].Text() != "123456" || got[3].Text() != "the last index there is" {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestGetAsksWeakDevicesForLess(t *testing.T) {
	t.Parallel()
	d, c := start(t, small, nil)
	d.Break(play.Faults{NamesAbove: 2})
	var oids []string
	for range 9 {
		oids = append(oids, system+".5.0")
	}
	got, err := c.Get(t.Context(), oids...)
	if err != nil || len(got) != 9 || got[8].Text() != "sw-1" {
		t.Fatalf("got %v, %v", got, err)
	}
	if n := c.Manners().Batch; n != 2 {
		t.Errorf("batch %d was learnt, want 2", n)
	}
}

func TestWalkAsksWeakDevicesForLess(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		faults play.Faults
		want   int
	}{
		"too big above 5":     {play.Faults{TooBigAbove: 5}, 3},
		"no answer above 12":  {play.Faults{SilentAbove: 12}, 12},
		"no GETBULK":          {play.Faults{SilentAbove: -1}, 1},
		"GETBULK is an error": {play.Faults{TooBigAbove: -1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, c := start(t, interfaces(40), func(target *snmp.Target) { target.Timeout = 200 * time.Millisecond })
			d.Break(test.faults)
			lines, err := walked(t.Context(), c, "1.3.6.1.2.1.2.2.1.2")
			if err != nil || len(lines) != 40 {
				t.Fatalf("%d rows, %v", len(lines), err)
			}
			learnt := c.Manners()
			if learnt.Repetitions != test.want {
				t.Errorf("%d rows at once were learnt, want %d", learnt.Repetitions, test.want)
			}
			// The next one begins with what was learnt, and nothing goes wrong.
			again := open(t, c.Target().Addr, func(target *snmp.Target) { target.Manners = learnt })
			if _, err := walked(t.Context(), again, "1.3.6.1.2.1.2.2.1.2"); err != nil || again.Counts().Timeouts > 0 {
				t.Errorf("again: %v, %+v", err, again.Counts())
			}
		})
	}
}

// interfaces is a recording of n rows of ifDescr and ifInOctets.
func interfaces(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "1.3.6.1.2.1.2.2.1.2.%d|4|port %d\n1.3.6.1.2.1.2.2.1.10.%d|65|%d\n", i+1, i+1, i+1, i*1000)
	}
	return b.String()
}

func TestTableThatTimesOutCostsOnlyItself(t *testing.T) {
	t.Parallel()
	d, c := start(t, small+interfaces(20), func(target *snmp.Target) { target.Timeout, target.MaxRepetitions = 250*time.Millisecond, 4 })
	d.Break(play.Faults{SilentBelow: "1.3.6.1.2.1.2.2.1.10"})
	lines, err := walked(t.Context(), c, "1.3.6.1.2.1.2")
	var walk *snmp.WalkError
	if !errors.As(err, &walk) || !errors.Is(err, snmp.ErrTimeout) {
		t.Fatalf("got %v", err)
	}
	if len(lines) == 0 || walk.Rows != len(lines) {
		t.Errorf("%d rows were handed on, the error says %d", len(lines), walk.Rows)
	}
	if n := c.Counts().Timeouts; n != 2 {
		t.Errorf("%d requests were waited for in vain", n)
	}
	if m := c.Manners(); m != (snmp.Manners{}) {
		t.Errorf("a dead table taught %+v", m)
	}
	if lines, err := walked(t.Context(), c, system); err != nil || len(lines) != 4 {
		t.Errorf("the next table: %d rows, %v", len(lines), err)
	}
}

func TestWalksEnd(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		faults play.Faults
		limits snmp.Limits
		cause  error
		least  int
	}{
		"circle":        {play.Faults{LoopBelow: "1.3.6.1.2.1.2.2.1.2"}, snmp.Limits{}, snmp.ErrLoop, 1},
		"too many rows": {play.Faults{EndlessBelow: "1.3.6.1.2.1.2.2.1.2"}, snmp.Limits{Rows: 1000}, snmp.ErrEndless, 1000},
		"too much text": {play.Faults{EndlessBelow: "1.3.6.1.2.1.2.2.1.2"}, snmp.Limits{Bytes: 3000}, snmp.ErrEndless, 50},
		"too long":      {play.Faults{EndlessBelow: "1.3.6.1.2.1.2.2.1.2", Delay: 20 * time.Millisecond}, snmp.Limits{Time: 300 * time.Millisecond}, snmp.ErrEndless, 1},
	} {
		for _, rows := range []int{1, 10} {
			t.Run(fmt.Sprintf("%s/%d", name, rows), func(t *testing.T) {
				t.Parallel()
				d, c := start(t, interfaces(3), func(target *snmp.Target) { target.Limits, target.MaxRepetitions = test.limits, rows })
				d.Break(test.faults)
				lines, err := walked(t.Context(), c, "1.3.6.1.2.1.2.2.1.2")
				if !errors.Is(err, test.cause) || len(lines) < test.least {
					t.Errorf("%d rows, %v", len(lines), err)
				}
			})
		}
	}
}

func TestWhatIsNoAnswerIsToldApart(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		faults play.Faults
		cause  error
	}{
		"silence":          {play.Faults{DropFirst: 100}, snmp.ErrTimeout},
		"other address":    {play.Faults{OtherAddress: true}, snmp.ErrOtherAddress},
		"garbage":          {play.Faults{Garbage: 1, OnlyGarbage: true}, snmp.ErrMalformed},
		"flood":            {play.Faults{Garbage: 1200, OnlyGarbage: true}, snmp.ErrMalformed},
		"wrong request id": {play.Faults{WrongID: true}, snmp.ErrTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patience := 100 * time.Millisecond
			if !errors.Is(test.cause, snmp.ErrTimeout) { // what comes is to come in it, on a busy machine too
				patience = 2 * time.Second
			}
			d, c := start(t, small, func(target *snmp.Target) { target.Timeout = patience })
			d.Break(test.faults)
			_, err := c.Get(t.Context(), system+".3.0")
			if !errors.Is(err, test.cause) {
				t.Errorf("got %v, want %v", err, test.cause)
			}
		})
	}
}

func TestAnswerIsFoundAmongOtherThings(t *testing.T) {
	t.Parallel()
	d, c := start(t, small, func(target *snmp.Target) { target.Timeout, target.Retries = 5*time.Second, 1 })
	d.Break(play.Faults{Garbage: 3, Duplicates: 2})
	for range 4 {
		got, err := c.Get(t.Context(), system+".5.0")
		if err != nil || got[0].Text() != "sw-1" {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	if n := c.Counts(); n.Malformed < 9 || n.Strays < 4 || n.Timeouts != 0 {
		t.Errorf("counted %+v", n)
	}
}

func TestRetriesAndLateAnswers(t *testing.T) {
	t.Parallel()
	d, c := start(t, small, func(target *snmp.Target) { target.Timeout, target.Retries = 200*time.Millisecond, 3 })
	d.Break(play.Faults{DropFirst: 1, Delay: 300 * time.Millisecond})
	got, err := c.Get(t.Context(), system+".5.0")
	if err != nil || got[0].Text() != "sw-1" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestClosedPortIsToldAtOnce(t *testing.T) {
	t.Parallel()
	r, err := play.New()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := r.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(conn.LocalAddr().String())
	conn.Close()
	c := open(t, at, func(target *snmp.Target) { target.Timeout, target.Retries = time.Minute, 5 })
	if _, err := c.Get(t.Context(), system+".3.0"); !errors.Is(err, snmp.ErrRefused) {
		t.Errorf("got %v", err)
	}
}

func TestContextEndsARequest(t *testing.T) {
	t.Parallel()
	d, c := start(t, small, func(target *snmp.Target) { target.Timeout = time.Minute })
	d.Break(play.Faults{DropFirst: 100})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for d.Asked() == 0 {
			if ctx.Err() != nil {
				return
			}
		}
		cancel()
	}()
	if _, err := c.Get(ctx, system+".3.0"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
