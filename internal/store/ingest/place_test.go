package ingest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

func somePlace(offset uint64) Place {
	return Place{
		Log: 1, Offset: offset, Last: "0199c7a0-0000-7000-8000-000000000001", Newest: time.Date(2026, 11, 27, 1, 2, 3, 4, time.UTC),
		Days:     map[string]uint64{"20261126": 5, "20261127": offset},
		Thinned:  map[string]uint64{"20261127": 3 * offset},
		Gaps:     []Gap{{From: 3, To: 9, Count: 6, Cause: "removed", Reason: "retention", Time: time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)}},
		Rebuilds: []Rebuild{{Folder: "20261126-x", Day: "20261126", Begun: true, From: 1, Next: 2, Until: 3, Had: 5, Stored: 1}},
	}
}

// TestThePlaceIsTheOldOrTheNew: whichever operation fails, and whatever a crash then takes.
func TestThePlaceIsTheOldOrTheNew(t *testing.T) {
	failed := errors.New("the disk fails")
	for n := 0; ; n++ {
		disk := memfs.New()
		if err := disk.MkdirAll("/store", 0o700); err != nil {
			t.Fatal(err)
		}
		before, after := somePlace(10), somePlace(20)
		if err := before.save(disk, "/store"); err != nil {
			t.Fatal(err)
		}
		op := 0
		err := after.save(errorfs.Wrap(disk, func(errorfs.Op) error {
			op++
			if op == n+1 {
				return failed
			}
			return nil
		}), "/store")
		want := []Place{before, after}
		if err == nil {
			want = want[1:]
		}
		crashed := disk.Crash(nil)
		got, known, loadErr := loadPlace(crashed, "/store")
		if loadErr != nil || !known || !cmp.Equal(got, want[0]) && !cmp.Equal(got, want[len(want)-1]) {
			t.Errorf("operation %d fails (%v): %+v, %v", n, err, got, loadErr)
		}
		if op <= n {
			return // none failed
		}
	}
}

func TestADamagedPlaceIsKnownAsSuch(t *testing.T) {
	disk := memfs.New()
	if err := disk.MkdirAll("/store", 0o700); err != nil {
		t.Fatal(err)
	}
	if p, known, err := loadPlace(disk, "/store"); known || err != nil || p.Offset != 0 || p.Days == nil {
		t.Errorf("no place: %+v, %v, %v", p, known, err)
	}
	p := somePlace(7)
	if err := p.save(disk, "/store"); err != nil {
		t.Fatal(err)
	}
	f, err := disk.OpenRW("/store/" + PlaceFile)
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	for at := range size {
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, at); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{b[0] ^ 4}, at); err != nil {
			t.Fatal(err)
		}
		if _, _, err := loadPlace(disk, "/store"); !errors.Is(err, ErrPlace) {
			t.Errorf("byte %d is another: %v", at, err)
		}
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size / 2); err != nil {
		t.Fatal(err)
	}
	if _, _, err := loadPlace(disk, "/store"); !errors.Is(err, ErrPlace) {
		t.Errorf("half a file: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestGapsAreBounded(t *testing.T) {
	var p Place
	for i := range 2 * maxGaps {
		p.addGap(Gap{From: uint64(i)})
	}
	if len(p.Gaps) != maxGaps || p.Gaps[0].From != maxGaps {
		t.Errorf("%d gaps from %d on", len(p.Gaps), p.Gaps[0].From)
	}
}

func FuzzPlace(f *testing.F) {
	f.Add([]byte("00000000\n{}\n"))
	f.Add([]byte(checksum([]byte("{}\n")) + "\n{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodePlace(b)
		if err != nil && !errors.Is(err, ErrPlace) {
			t.Error(err)
		}
		_ = p.behind()
	})
}
