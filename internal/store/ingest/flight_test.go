package ingest

import (
	"errors"
	"testing"

	"github.com/amoskys/amoskys/internal/stream"
)

// TestInserted: the engine has all before an offset only when no batch before it flies.
func TestInserted(t *testing.T) {
	f := newFlight()
	check := func(what string, want stream.Offset, whole bool) {
		t.Helper()
		if got, ok := f.before(); got != want || ok != whole {
			t.Errorf("%s: before %d (%v), want %d (%v)", what, got, ok, want, whole)
		}
	}
	f.passed(5)
	check("nothing flies", 5, true)
	a, b := <-f.free, <-f.free
	f.hand(a, 10)
	<-f.full
	f.hand(b, 20)
	<-f.full
	f.passed(25) // what came behind b was nothing to insert
	f.landed(b)
	check("the second is there", 5, true)
	f.landed(a)
	check("both are there", 25, true)
	f.passed(30)
	check("nothing to insert", 30, true)
	c := <-f.free
	f.hand(c, 40)
	<-f.full
	f.fail(errors.New("the engine is gone"))
	f.landed(c)
	check("one was lost", 30, false)
	f.clear(12)
	check("it begins anew", 12, true)
}
