package wal

import "testing"

// TestManyBadPlacesAreCopiedOnce: copies of a whole segment for each of them
// could fill the disk.
func TestManyBadPlacesAreCopiedOnce(t *testing.T) {
	disk, _ := smallLog(t, false)
	recs := places(t, disk)
	last := segments(t, disk)[len(segments(t, disk))-1]
	b := content(t, disk, last)
	bad := 0
	for _, p := range recs {
		if p.segment == last && p.count > 0 {
			b[p.pos+recordHeaderBytes+2] ^= 1
			bad++
		}
	}
	if bad < 2 {
		t.Fatalf("the last segment has %d records", bad)
	}
	if err := disk.Put(dir+"/"+last, b); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		l, err := Open(t.Context(), options(disk))
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
