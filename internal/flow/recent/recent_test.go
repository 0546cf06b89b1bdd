package recent_test

import (
	"slices"
	"testing"

	"github.com/amoskys/amoskys/internal/flow/recent"
)

func keys(m *recent.Map[int, int]) (all []int) {
	m.Each(func(k int, _ *int) bool { all = append(all, k); return true })
	return all
}

// TestOrder: what was used longest ago makes room.
func TestOrder(t *testing.T) {
	m := recent.New[int, int](3)
	var gone []int
	m.OnEvict = func(k int, v *int) { gone = append(gone, k, *v) }
	for k := range 3 {
		v, fresh := m.Use(k)
		if *v = k * 10; !fresh {
			t.Errorf("%d is not fresh", k)
		}
	}
	if v, fresh := m.Use(0); fresh || *v != 0 {
		t.Error("0 is lost")
	}
	if v, fresh := m.Use(7); !fresh || *v != 0 {
		t.Error("7 has the value of another")
	}
	if got := keys(m); !slices.Equal(got, []int{2, 0, 7}) || !slices.Equal(gone, []int{1, 10}) || m.Evicted != 1 {
		t.Errorf("%v are kept, %v went", got, gone)
	}
	if v, had := m.Drop(2); !had || v != 20 || m.Len() != 2 || m.Look(2) != nil {
		t.Error("2 is still there")
	}
	m.Each(func(k int, _ *int) bool { return k == 7 })
	if got := keys(m); !slices.Equal(got, []int{7}) {
		t.Errorf("%v are kept", got)
	}
}

// TestProven: inventing keys pushes out none that is used again and again, and what is
// new has room to prove itself.
func TestProven(t *testing.T) {
	const limit, after = 16, 100
	m := recent.Proving[int, int](limit, after)
	now := int64(0)
	flood := func(from int) {
		for k := range 1000 {
			m.UseAt(from+k, now)
		}
	}
	for k := range limit { // more than may be proven
		m.UseAt(k, now)
	}
	now += after
	for k := range limit {
		m.UseAt(k, now)
	}
	now += after
	for k := range 12 {
		m.UseAt(k, now)
	}
	flood(1000)
	for k := range 12 {
		if !m.Proven(k) {
			t.Errorf("%d was pushed out", k)
		}
	}
	if m.Len() != limit {
		t.Errorf("%d are kept", m.Len())
	}
	for range 4 {
		m.MakeRoom(now)
	}
	if m.MakeRoom(now) || m.Len() != 12 {
		t.Errorf("what is proven made room for what is not, %d are left", m.Len())
	}
	m.UseAt(77, now) // and one more that is here to stay
	now += after
	m.UseAt(77, now)
	if m.Proven(77) || m.Look(77) == nil || !m.Proven(0) {
		t.Error("one more takes the place of one that is in use, or has none")
	}
	for k := range 11 {
		m.UseAt(k+1, now)
	}
	now += 9*after + 1 // 0 was not used for ten times as long
	m.UseAt(77, now)
	if !m.Proven(77) || m.Proven(0) || m.Look(0) == nil {
		t.Error("what nobody uses makes no room")
	}
	now += 11 * after
	if m.MakeRoom(now); !m.MakeRoom(now) {
		t.Error("what nobody uses any more is kept for ever")
	}
}

// TestShared: a group that invents keys without end, and uses them again and again, pushes
// out only its own.
func TestShared(t *testing.T) {
	const limit, after = 64, 100
	m := recent.Sharing[int, int](limit, after, func(k int) uint64 { return uint64(k / 1000) })
	now := int64(0)
	for range 4 { // All that there is room for is of one group, and in use.
		for k := range limit {
			m.UseAt(k, now)
		}
		now += after / 2
	}
	if !m.Proven(0) || m.Len() != limit {
		t.Fatalf("the group has not what there is: %v", keys(m))
	}
	for range 5 {
		for k := range 4 {
			m.UseAt(1000*(k+1), now) // One of another group comes now and then.
		}
		for k := range limit {
			m.UseAt(k, now)
		}
		for k := range 500 {
			m.UseAt(100+k, now)
		}
		now += after
	}
	for k := range 4 {
		if !m.Proven(1000 * (k + 1)) {
			t.Errorf("%d has no place beside a group that has many", k+1)
		}
	}
	if v, had := m.Drop(1000); !had || v != 0 || m.Proven(1000) {
		t.Error("what was dropped is there")
	}
	m.Each(func(int, *int) bool { return false })
	if m.Len() != 0 {
		t.Error("some are left")
	}
	if _, fresh := m.UseAt(1000, now); !fresh || m.Len() != 1 {
		t.Error("nothing comes into a map that was emptied")
	}
}
