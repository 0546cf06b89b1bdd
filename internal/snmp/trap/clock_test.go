package trap

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"github.com/amoskys/amoskys/internal/snmp"
)

// sum tells test messages apart.
func sum(n int) fingerprint { return fingerprint{byte(n), byte(n >> 8), byte(n >> 16)} }

// TestClocks: a proven message is taken once, if its engine's time says that it is new.
func TestClocks(t *testing.T) {
	t.Parallel()
	var c clocks
	at := time.Unix(1_700_000_000, 0)
	for i, tt := range []struct {
		boots, seconds int64
		sum            int
		after          time.Duration // since the one before
		want           bool
	}{
		{3, 1000, 1, 0, true},
		{3, 1000, 1, 0, false}, // again
		{3, 1000, 2, 0, true},
		{3, 850, 3, 0, true}, // late
		{3, 849, 4, 0, false},
		{2, 5000, 5, 0, false},
		{3, 1000, 6, 151 * time.Second, true}, // its clock is a little slow
		{3, 1000, 7, 3 * time.Second, false},  // held back
		{3, 1154, 8, 0, true},
		{3, 1154 + 99_000, 9, 100_000 * time.Second, true}, // so slow that it is just taken, within 150 s
		{3, 1154 + 198_000 - 151, 10, 100_000 * time.Second, false},
		{4, 1, 11, 0, true},
		{3, 900_000, 12, 0, false},
		{4, 0, 13, 0, true},
		{mostBoots, 5, 14, 0, false},
	} {
		at = at.Add(tt.after)
		if got := c.accept("engine", tt.boots, tt.seconds, sum(tt.sum), at); got != tt.want {
			t.Errorf("%d: %+v is %t", i, tt, got)
		}
	}
	if !c.accept("another", 1, 1, sum(100), at) {
		t.Error("engines share a clock")
	}
}

// TestClocksAreBounded: what is forgotten is not taken again, nor what is as old; over a
// restart likewise, of which less is kept.
func TestClocksAreBounded(t *testing.T) {
	t.Parallel()
	var c clocks
	at := time.Unix(1_700_000_000, 0)
	for i := range maxTaken + 2 {
		if !c.accept("engine", 1, 1000+int64(i/1000), sum(i), at) {
			t.Fatalf("message %d is refused", i)
		}
	}
	if len(c.taken) != maxTaken || len(c.order) != maxTaken {
		t.Errorf("%d and %d are remembered", len(c.taken), len(c.order))
	}
	if c.accept("engine", 1, 1000, sum(0), at) || c.accept("engine", 1, 1000, sum(1<<22), at) {
		t.Error("what is as old as something forgotten is taken")
	}
	newest := 1000 + int64((maxTaken+1)/1000)
	text, err := json.Marshal(c.state("ours"))
	if err != nil {
		t.Fatal(err)
	}
	var kept State
	if err := json.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	var again clocks
	again.restore(kept)
	if len(kept.Taken) != keptTaken {
		t.Errorf("%d are kept", len(kept.Taken))
	}
	for i := range maxTaken + 2 {
		if again.accept("engine", 1, 1000+int64(i/1000), sum(i), at) {
			t.Fatalf("message %d is taken again after a restart", i)
		}
	}
	if !again.accept("engine", 1, newest, sum(1<<22), at.Add(-1000*time.Hour)) {
		t.Error("a new one is refused after a restart with another time of day")
	}
	again.restore(State{Engines: []EngineClock{{Engine: "no hex"}, {Engine: "00", Boots: -1}}, Taken: []Taken{{Engine: "00", Sum: "00"}}})
	if len(again.at) != 1 {
		t.Errorf("%d engines", len(again.at))
	}
}

// TestReplay: a trap is taken once, over restarts of the reader too, and an inform is told
// once and confirmed each time.
func TestReplay(t *testing.T) {
	t.Parallel()
	r := testReader()
	for _, kind := range []gosnmp.PDUType{gosnmp.SNMPv2Trap, gosnmp.InformRequest} {
		engine, boots, replies := deviceEngine, uint32(3), kind == gosnmp.InformRequest
		if replies {
			engine, boots = r.engine, uint32(r.boots)
		}
		b := message(t, gosnmp.Version3, kind, engine)
		if got, reply, err := r.Decode(b); err != nil || got.OID == "" || !got.Verified || (reply != nil) != replies {
			t.Fatalf("%v: %+v, reply %x, %v", kind, got, reply, err)
		}
		if got, reply, err := r.Decode(b); !errors.Is(err, ErrReplayed) || got.OID != "" || (reply != nil) != replies {
			t.Errorf("%v again: %+v, reply %x, %v", kind, got, reply, err)
		}
		if got, _, err := r.Decode(messageAt(t, gosnmp.Version3, kind, engine, boots, 100)); err != nil || got.OID == "" {
			t.Errorf("%v, another: %+v, %v", kind, got, err)
		}
	}
	next := NewReader([]snmp.Credential{monitor()}, "test", r.now, r.State())
	if next.boots <= r.boots {
		t.Errorf("it starts for the %dth time after the %dth", next.boots, r.boots)
	}
	if got, reply, err := next.Decode(message(t, gosnmp.Version3, gosnmp.SNMPv2Trap, deviceEngine)); !errors.Is(err, ErrReplayed) {
		t.Errorf("a trap of before the restart: %+v, reply %x, %v", got, reply, err)
	}
	// Its sender is told our new time, in a message that is proven, and sends it again.
	got, reply, err := next.Decode(message(t, gosnmp.Version3, gosnmp.InformRequest, next.engine))
	if err != nil || got.OID != "" || reply == nil {
		t.Fatalf("an inform of before the restart: %+v, reply %x, %v", got, reply, err)
	}
	told, ok := peek(reply)
	u := newUser(monitor())
	if !ok || told.boots != next.boots || told.engine != next.engine || !proves(u.hash, u.digest, u.authKey(next.engine), reply) {
		t.Errorf("the report is %+v", told)
	}
	if got, _, err := next.Decode(messageAt(t, gosnmp.Version3, gosnmp.InformRequest, next.engine, uint32(told.boots), uint32(told.seconds))); err != nil || !got.Inform {
		t.Errorf("an inform by our time: %+v, %v", got, err)
	}
}

// TestBoots: our engine never starts twice with the same boots, whatever the clock shows and
// whether the state was kept or not.
func TestBoots(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		before int64
		now    time.Time
		want   int64
	}{
		{0, time.Unix(1_700_000_000, 0), 28_333_333},
		{28_333_333, time.Unix(1_700_000_000, 0), 28_333_334},
		{0, time.Time{}, 1},
		{7, time.Unix(0, 0), 8},
		{mostBoots, time.Unix(0, 0), mostBoots - 1},
	} {
		if got := nextBoots(tt.before, tt.now); got != tt.want {
			t.Errorf("after %d at %s it is %d, want %d", tt.before, tt.now, got, tt.want)
		}
	}
}
