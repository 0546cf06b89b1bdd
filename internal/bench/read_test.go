package bench

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/codec"
)

// TestRunRead: every case reads, over packed and other records, beside another hub and
// without one, and nothing is left behind.
func TestRunRead(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: much work of one kind")
	}
	for _, packed := range []codec.Codec{codec.S2, codec.None} {
		o := ReadOptions{
			Events: 2000, Batch: 50, Codec: packed, Readers: 2, Rounds: 2, Duration: 50 * time.Millisecond,
			Dir: t.TempDir(), Command: []string{os.Args[0], childArg},
		}
		if packed == codec.None {
			o.Baseline = o.Command
		}
		steps := 0
		o.Progress = func(string) { steps++ }
		r, err := RunRead(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Events < o.Events || len(r.Cases) != 5 || r.Codec != packed.String() || r.Compared != (len(o.Baseline) > 0) {
			t.Errorf("result %+v", r)
		}
		if want := 1 + len(o.Baseline)/2 + 2*5; steps != want { // logs filled, and cases read in two rounds
			t.Errorf("told of %d steps, want %d", steps, want)
		}
		for _, c := range r.Cases {
			if c.EventsPerSecond <= 0 || c.RSSBytes < 1<<20 || c.Readers < 1 {
				t.Errorf("case %+v", c)
			}
		}
		var b strings.Builder
		if err := r.Write(&b); err != nil || !strings.Contains(b.String(), "blocks, untouched") {
			t.Errorf("text: %v\n%s", err, b.String())
		}
		text, err := json.Marshal(r)
		if err != nil || !strings.Contains(string(text), `"bench":"read"`) || !strings.Contains(string(text), `"hub_cpu_per_million":`) {
			t.Errorf("%v: %s", err, text)
		}
		if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

func TestReadOptionsCheck(t *testing.T) {
	good := ReadOptions{Events: 1, Batch: 1, Readers: 1, Rounds: 1, Duration: 1}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*ReadOptions){
		"events": func(o *ReadOptions) { o.Events = 0 }, "batch": func(o *ReadOptions) { o.Batch = 0 }, "readers": func(o *ReadOptions) { o.Readers = 65 },
		"rounds": func(o *ReadOptions) { o.Rounds = 0 }, "duration": func(o *ReadOptions) { o.Duration = 0 },
	} {
		o := good
		spoil(&o)
		if o.Check() == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}
