package cli

import (
	"bytes"
	"os"
	"testing"
)

func TestPainter(t *testing.T) {
	env := func(vars map[string]string) *Env {
		return &Env{Lookup: func(name string) (string, bool) { v, ok := vars[name]; return v, ok }}
	}
	if PainterFor(env(nil), &bytes.Buffer{}) {
		t.Error("colours in what is no terminal")
	}
	if got := Painter(true).In("red", "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("%q", got)
	}
	if got := Painter(true).In("", "x") + Painter(true).In("red", "") + Painter(false).In("red", "y"); got != "xy" {
		t.Errorf("%q", got)
	}
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("needs a terminal: %v", err)
	}
	defer tty.Close()
	for name, tc := range map[string]struct {
		vars map[string]string
		want bool
	}{
		"a terminal":     {nil, true},
		"NO_COLOR":       {map[string]string{"NO_COLOR": "1"}, false},
		"NO_COLOR empty": {map[string]string{"NO_COLOR": ""}, true},
		"a dumb one":     {map[string]string{"TERM": "dumb"}, false},
	} {
		if got := PainterFor(env(tc.vars), tty); bool(got) != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
