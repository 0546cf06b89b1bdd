package state

import (
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestWhoReadsWaitsForNoChange: changes that wait for one another take no connections, of
// which there are few, from those who read.
func TestWhoReadsWaitsForNoChange(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Options{File: filepath.Join(t.TempDir(), "state.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	first, err := db.sql.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	begun := make(chan struct{}, 8)
	for n := range 8 {
		waiting.Go(func() {
			begun <- struct{}{}
			err := db.Revoke(t.Context(), Revocation{Target: string(rune('a' + n)), Time: time.Unix(1, 0)})
			if err != nil {
				t.Errorf("a change that waited: %v", err)
			}
		})
	}
	for range 8 {
		<-begun
	}
	for range 20 {
		if _, err := db.Tokens(t.Context()); err != nil {
			t.Fatalf("who reads: %v", err)
		}
		if n := db.sql.db.Stats().InUse; n > 1 {
			t.Fatalf("%d connections are used, where one changes something and others wait", n)
		}
	}
	if err := first.Rollback(); err != nil {
		t.Fatal(err)
	}
	waiting.Wait()
	if list, err := db.Revocations(t.Context()); err != nil || len(list) != 8 {
		t.Errorf("%d revocations, %v", len(list), err)
	}
}
