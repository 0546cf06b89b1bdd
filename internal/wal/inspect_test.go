package wal

import (
	"fmt"
	"strings"
	"testing"
)

// TestInspectNamesDamage: a segment with a bad place shows it, whether it was set
// aside by opening the log or has just come.
func TestInspectNamesDamage(t *testing.T) { eachShape(t, 3, testInspectNamesDamage) }

func testInspectNamesDamage(t *testing.T, sh *shape) {
	disk, _ := smallLog(t, sh, true)
	recs := places(t, disk)
	last := recs[len(recs)-1].segment
	var inLast []place
	for _, p := range recs {
		if p.segment == last && p.count > 0 {
			inLast = append(inLast, p)
		}
	}
	if len(inLast) < 3 {
		t.Fatalf("records %v", inLast)
	}
	bad := inLast[1]
	before, err := Inspect(t.Context(), disk, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range before.Segments {
		if s.Problem != "" {
			t.Fatalf("a sound log: %+v", s)
		}
	}
	flip(t, disk, bad)
	problems := func(want string) {
		t.Helper()
		sum, err := Inspect(t.Context(), disk, dir)
		if err != nil {
			t.Fatal(err)
		}
		if sum.NextOffset < before.NextOffset {
			t.Errorf("ends at %d, was %d", sum.NextOffset, before.NextOffset)
		}
		for _, s := range sum.Segments {
			if s.Name == last && !strings.HasPrefix(s.Problem, want) || s.Name != last && s.Problem != "" {
				t.Errorf("segment %s says %q, want %q of %s", s.Name, s.Problem, want, last)
			}
		}
	}
	problems(fmt.Sprintf("damaged at byte %d: ", bad.pos))
	if err := openLog(t, sh.options(disk)).Close(); err != nil {
		t.Fatal(err)
	}
	problems(fmt.Sprintf("damaged at byte %d (copy in quarantine)", bad.pos))
	for _, pos := range []int{7_000_000, 8_000_000} {
		if err := disk.Put(fmt.Sprintf("%s/%s/%s.damaged-at-%d", dir, quarantineDir, last, pos), []byte("copy")); err != nil {
			t.Fatal(err)
		}
	}
	problems(fmt.Sprintf("damaged at byte %d (copy in quarantine) and 2 further places", bad.pos))
}

// TestInspectIgnoresOtherFilesInQuarantine: they say nothing of the segments.
func TestInspectIgnoresOtherFilesInQuarantine(t *testing.T) {
	disk, _ := smallLog(t, newest(), true)
	if err := disk.MkdirAll(dir+"/"+quarantineDir, 0o700); err != nil {
		t.Fatal(err)
	}
	name := segments(t, disk)[0]
	for _, other := range []string{name, name + ".123", name + ".damaged-at-", name + ".damaged-at-x", name + ".damaged-at--1", name + ".damaged-at-5.tmp", "cursor-a"} {
		if err := disk.Put(dir+"/"+quarantineDir+"/"+other, []byte("copy")); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := Inspect(t.Context(), disk, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sum.Segments {
		if s.Problem != "" {
			t.Errorf("%+v", s)
		}
	}
}
