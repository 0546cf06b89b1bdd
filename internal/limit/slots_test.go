package limit_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amoskys/amoskys/internal/limit"
)

// crowd takes slots and notes who lost one.
type crowd struct {
	slots *limit.Slots
	lost  []string
}

// take asks for n slots and returns how many there were.
func (c *crowd) take(key string, known bool, n int) (got int) {
	for range n {
		_, err := c.slots.Take(limit.Claim{Key: key, Known: known, GiveWay: func() { c.lost = append(c.lost, key) }})
		if err == nil {
			got++
		}
	}
	return got
}

const (
	stranger = false
	friend   = true
)

func TestSlots(t *testing.T) {
	type ask struct {
		key    string
		known  bool
		tries  int
		want   int
		after  time.Duration // before asking
		losers string
	}
	o := limit.SlotOptions{Slots: 8, Share: 2, Reserved: 2, Grace: time.Second}
	for name, asks := range map[string][]ask{
		"one has what is free":                         {{"a", friend, 9, 8, 0, "[]"}},
		"strangers leave what is reserved":             {{"a", stranger, 9, 6, 0, "[]"}, {"b", friend, 2, 2, 0, "[]"}},
		"one of many gives way to one of few":          {{"a", friend, 8, 8, 0, "[]"}, {"b", friend, 5, 4, 0, "[a a a a]"}},
		"a stranger gets what is beyond a share":       {{"a", friend, 8, 8, 0, "[]"}, {"b", stranger, 5, 4, 0, "[a a a a]"}},
		"a share is safe from strangers":               {{"a", friend, 2, 2, 0, "[]"}, {"b", friend, 2, 2, 0, "[]"}, {"c", friend, 2, 2, 0, "[]"}, {"d", friend, 2, 2, 0, "[]"}, {"e", stranger, 3, 0, time.Hour, "[]"}},
		"strangers give way to the known":              {{"a", stranger, 1, 1, 0, "[]"}, {"b", stranger, 1, 1, 0, "[]"}, {"c", friend, 8, 8, 0, "[a b]"}},
		"strangers give way to each other":             {{"a", stranger, 6, 6, 0, "[]"}, {"b", stranger, 3, 3, 0, "[a a a]"}, {"c", stranger, 1, 1, 0, "[a]"}},
		"one of equals gives way when it had its time": {{"a", stranger, 6, 6, 0, "[]"}, {"b", stranger, 4, 3, 0, "[a a a]"}, {"b", stranger, 1, 1, time.Second, "[b]"}},
		"one gives way to itself when it had its time": {{"a", stranger, 7, 6, 0, "[]"}, {"a", stranger, 7, 6, time.Second, "[a a a a a a]"}},
		"many with one each, and one more": {
			{"a", stranger, 1, 1, 0, "[]"},
			{"b", stranger, 1, 1, 0, "[]"},
			{"c", stranger, 1, 1, 0, "[]"},
			{"d", stranger, 1, 1, 0, "[]"},
			{"e", stranger, 1, 1, 0, "[]"},
			{"f", stranger, 1, 1, 0, "[]"},
			{"g", stranger, 1, 0, 0, "[]"},
			{"g", stranger, 1, 1, time.Second, "[a]"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			now, o := noon, o
			o.Now = func() time.Time { return now }
			c := &crowd{slots: limit.NewSlots(o)}
			for _, a := range asks {
				now = now.Add(a.after)
				c.lost = nil
				if got := c.take(a.key, a.known, a.tries); got != a.want {
					t.Errorf("%s asked %d times and got %d, want %d", a.key, a.tries, got, a.want)
				}
				if got := fmt.Sprint(c.lost); got != a.losers {
					t.Errorf("when %s asked, %s lost slots, want %s", a.key, got, a.losers)
				}
			}
		})
	}
}

func TestSlotsOfOneAreBounded(t *testing.T) {
	s := limit.NewSlots(limit.SlotOptions{})
	claim := limit.Claim{Key: "a", Most: 2}
	first, err := s.Take(claim)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Take(claim); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Take(claim); !errors.Is(err, limit.ErrShare) {
		t.Errorf("a third: %v", err)
	}
	other, err := s.Take(limit.Claim{Key: "b", Most: 2})
	if err != nil {
		t.Errorf("another's first: %v", err)
	}
	if err := other.Move("a", true, 2); !errors.Is(err, limit.ErrShare) {
		t.Errorf("a third by moving: %v", err)
	}
	first.Release()
	first.Release()
	if err := other.Move("a", true, 2); err != nil {
		t.Errorf("moved into the room: %v", err)
	}
	if s.Taken() != 2 || s.Held("a") != 2 || s.Held("b") != 0 {
		t.Errorf("taken %d, held %d and %d", s.Taken(), s.Held("a"), s.Held("b"))
	}
}

// TestWhoRestsGivesWayFirst: of one key's slots that which has waited longest for
// something to do goes, and one that is kept never.
func TestWhoRestsGivesWayFirst(t *testing.T) {
	s := limit.NewSlots(limit.SlotOptions{Slots: 4})
	var lost []int
	var held [4]*limit.Slot
	for i := range held {
		var err error
		if held[i], err = s.Take(limit.Claim{Key: "a", GiveWay: func() { lost = append(lost, i) }}); err != nil {
			t.Fatal(err)
		}
	}
	held[2].Rest()
	held[1].Rest()
	if !held[0].Keep() {
		t.Error("the first was given away")
	}
	for i, key := range []string{"b", "c", "d", "e"} {
		_, err := s.Take(limit.Claim{Key: key})
		if want := i < 3; (err == nil) != want {
			t.Errorf("%s: %v", key, err)
		}
	}
	if got := fmt.Sprint(lost); got != "[2 1 3]" {
		t.Errorf("lost %s, want the two that rested, then the other", got)
	}
}

// TestSlotsKeepTheirPromises drives random claims against what the documentation
// promises, whatever came before.
func TestSlotsKeepTheirPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 12).Draw(t, "slots")
		o := limit.SlotOptions{
			Slots: size, Share: rapid.IntRange(0, 4).Draw(t, "share"), Reserved: rapid.IntRange(0, size).Draw(t, "reserved"),
			Now: func() time.Time { return time.Unix(0, 0) },
		}
		s := limit.NewSlots(o)
		type kept struct {
			*limit.Slot
			key  string
			gone bool
		}
		var open []*kept
		count := func(which func(*kept) bool) (n int) {
			for _, k := range open {
				if !k.gone && which(k) {
					n++
				}
			}
			return n
		}
		known := func(key string) bool { return key >= "e" }
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			key := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h"}).Draw(t, "key")
			if len(open) > 0 && rapid.IntRange(0, 3).Draw(t, "what") == 0 {
				k := rapid.SampledFrom(open).Draw(t, "whose")
				k.Release()
				k.gone = true
				continue
			}
			strangers := count(func(k *kept) bool { return !known(k.key) })
			mine := count(func(k *kept) bool { return k.key == key })
			richer := 0
			for _, other := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
				if n := count(func(k *kept) bool { return k.key == other }); n > mine+1 && (known(key) || !known(other) || n > o.Share && strangers < size-o.Reserved) {
					richer++
				}
			}
			k := &kept{key: key}
			slot, err := s.Take(limit.Claim{Key: key, Known: known(key), GiveWay: func() { k.gone = true }})
			if err == nil {
				k.Slot = slot
				open = append(open, k)
			}
			switch {
			case err != nil && richer > 0 && (known(key) || size > o.Reserved):
				t.Fatalf("%s with %d was refused though somebody had more", key, mine)
			case err != nil && known(key) && strangers > 0:
				t.Fatalf("%s was refused for a stranger", key)
			}
			all := count(func(*kept) bool { return true })
			if all != s.Taken() || all > size {
				t.Fatalf("%d slots are held, %d taken, of %d", all, s.Taken(), size)
			}
			if n := count(func(k *kept) bool { return !known(k.key) }); n > size-o.Reserved {
				t.Fatalf("strangers hold %d of %d, with %d reserved", n, size, o.Reserved)
			}
		}
	})
}

// BenchmarkSlots is a flood of handshakes: every one makes another give way.
func BenchmarkSlots(b *testing.B) {
	s := limit.NewSlots(limit.SlotOptions{Slots: 1024, Share: 64, Reserved: 256})
	keys := make([]string, 4096)
	for i := range keys {
		keys[i] = fmt.Sprintf("198.51.%d.%d", i/256, i%256)
	}
	b.ReportAllocs()
	for i := range b.N {
		_, _ = s.Take(limit.Claim{Key: keys[i*7919%len(keys)], Known: i%16 == 0, GiveWay: func() {}})
	}
}
