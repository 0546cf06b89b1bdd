package wal

import "testing"

// TestManyBadPlacesAreCopiedOnce: copies of a whole segment for each of them
// could fill the disk.
func TestManyBadPlacesAreCopiedOnce(t *testing.T) { eachShape(t, 3, testManyBadPlacesAreCopiedOnce) }

func testManyBadPlacesAreCopiedOnce(t *testing.T, sh *shape) {
	disk, _ := smallLog(t, sh, false)
	recs := places(t, disk)
	last := segments(t, disk)[len(segments(t, disk))-1]
	b := content(t, disk, last)
	bad, n := 0, 0
	for _, p := range recs {
		if p.segment == last && p.count > 0 {
			if n++; n%2 == 1 { // a sound one in between
				b[p.pos+recordHeaderBytes+2] ^= 1
				bad++
			}
		}
	}
	if bad < 2 {
		t.Fatalf("the last segment has %d records", n)
	}
	if err := disk.Put(dir+"/"+last, b); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		l, err := Open(t.Context(), sh.options(disk))
		if err != nil {
			t.Fatal(err)
		}
		st := l.Stat()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if round == 0 && len(st.Recovery.Damage) < 2 {
			t.Errorf("damage %+v, want %d places", st.Recovery.Damage, bad)
		}
		if len(st.Quarantined) != 1 {
			t.Errorf("round %d: copies %v", round, st.Quarantined)
		}
	}
}
