package limit_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/limit"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func TestNetwork(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1":                      "192.0.2.1",
		"192.0.2.1:80":                   "192.0.2.1",
		"::ffff:192.0.2.1":               "192.0.2.1",
		"[::ffff:192.0.2.1]:80":          "192.0.2.1",
		"2001:db8:1:2:3::4":              "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::4%eth0]:80": "2001:db8:1:2::/64",
		"fe80::1%eth0":                   "fe80::/64",
		"no address":                     "no address",
		"":                               "",
	} {
		if got := limit.Network(addr); got != want {
			t.Errorf("Network(%q) is %q, want %q", addr, got, want)
		}
	}
	tcp := &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 80}
	if got := limit.NetworkOf(tcp); got != "2001:db8::/64" {
		t.Errorf("NetworkOf(%s) is %q", tcp, got)
	}
	if got := limit.NetworkOf(nil); got != "" {
		t.Errorf("NetworkOf(nil) is %q", got)
	}
}

func TestLimiter(t *testing.T) {
	const burst = 5
	l := limit.NewLimiter(limit.Rate{Burst: burst, Interval: 10 * time.Second}, 100)
	now := noon
	count := func(key string, tries int) (let int) {
		for range tries {
			if _, ok := l.Take(key, now); ok {
				let++
			}
		}
		return let
	}
	if n := count("a", 2*burst); n != burst {
		t.Errorf("one key was let in %d times, want %d", n, burst)
	}
	if wait, ok := l.Take("a", now); ok || wait != 10*time.Second {
		t.Errorf("then it has to wait %s", wait)
	}
	if n := count("b", 1); n != 1 {
		t.Error("another key was refused for it")
	}
	now = now.Add(10 * time.Second)
	if n := count("a", 3); n != 1 {
		t.Errorf("after one interval it was let in %d times", n)
	}
	l.Forget("a")
	if n := count("a", 2*burst); n != burst {
		t.Errorf("after it was forgotten it was let in %d times", n)
	}
	for i := range 100 {
		count(fmt.Sprint("other ", i), 1)
	}
	if n := count("a", burst); n != burst {
		t.Error("the key unused for longest was not forgotten")
	}
	now = now.Add(-time.Hour)
	count("a", 1)
	now = now.Add(10 * time.Second)
	if n := count("a", 1); n != 1 {
		t.Error("a clock that was set back locks out")
	}
}

func TestKnown(t *testing.T) {
	k := limit.NewKnown(2, time.Hour)
	k.Note("a", noon)
	k.Note("b", noon)
	k.Note("a", noon)
	k.Note("c", noon)
	for key, want := range map[string]bool{"a": true, "b": false, "c": true, "d": false} {
		if got := k.Has(key, noon.Add(59*time.Minute)); got != want {
			t.Errorf("%s is known: %v, want %v", key, got, want)
		}
	}
	if k.Has("a", noon.Add(time.Hour)) {
		t.Error("a is known for longer than it should be")
	}
}

// TestLogIsBounded: a flood of equal lines costs a few, and tells how many it was.
func TestLogIsBounded(t *testing.T) {
	var text bytes.Buffer
	now := noon
	l := limit.NewLog(slog.New(slog.NewTextHandler(&text, nil)), func() time.Time { return now })
	for range 100 {
		l.Warn("flood", "refused", slog.String("peer", "x"))
	}
	l.Warn("other", "refused as well")
	if n := strings.Count(text.String(), "msg=refused "); n != 5 {
		t.Errorf("%d lines of one kind", n)
	}
	if !strings.Contains(text.String(), "refused as well") {
		t.Error("another kind was left out")
	}
	now = now.Add(2 * time.Second)
	l.Warn("flood", "refused", slog.String("peer", "x"))
	if !strings.Contains(text.String(), "omitted=95") {
		t.Errorf("the number left out is missing: %s", text.String())
	}
}

// TestManyKindsShareOne: whoever makes up kinds gets no more lines by it.
func TestManyKindsShareOne(t *testing.T) {
	l := limit.NewLines(limit.Rate{Burst: 1, Interval: time.Minute}, 10)
	written := 0
	for i := range 1000 {
		if _, ok := l.Take(fmt.Sprint(i), noon); ok {
			written++
		}
	}
	if written > 11 {
		t.Errorf("%d lines were written", written)
	}
	if omitted, ok := l.Take("new", noon.Add(time.Minute)); !ok || omitted != 0 {
		t.Errorf("quiet kinds did not make room: %v, %d omitted", ok, omitted)
	}
}
