package state_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/state"
)

func TestSavedQueries(t *testing.T) { each(t, testSavedQueries) }

func testSavedQueries(t *testing.T, open opener) {
	db := open(t)
	most := state.SavedLimits{OfOwner: 3, Shared: 3}
	save := func(owner, name string, shared bool) (state.SavedQuery, error) {
		q := state.SavedQuery{
			Owner: owner, Name: name, Query: "type:=auth.attempt", Since: "24h", Columns: []string{"time", "host"}, Shared: shared,
			Created: epoch, Changed: epoch, ChangedBy: owner,
		}
		id, err := db.CreateSavedQuery(t.Context(), q, most)
		q.ID = id
		return q, err
	}
	names := func(owner string, all bool) (out []string) {
		list, err := db.SavedQueries(t.Context(), owner, all)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range list {
			out = append(out, q.Owner+"/"+q.Name)
		}
		return out
	}
	kept := map[string]state.SavedQuery{}
	for _, each := range []struct {
		owner, name string
		shared      bool
		want        error
	}{
		{"ada", "logins", false, nil},
		{"ada", "LOGINS", false, state.ErrExists},
		{"bob", "logins", true, nil},
		{"cy", "Logins", true, state.ErrExists},
		{"ada", "logins", true, state.ErrExists},
		{"ada", "b", true, nil},
		{"ada", "c", false, nil},
		{"ada", "d", false, state.ErrTooMany},
		{"bob", "e", true, nil},
		{"cy", "f", true, state.ErrTooMany},
		{"cy", "f", false, nil},
	} {
		q, err := save(each.owner, each.name, each.shared)
		if !errors.Is(err, each.want) {
			t.Errorf("%+v: %v", each, err)
		}
		if err == nil {
			kept[each.owner+"/"+each.name] = q
		}
	}
	if diff := cmp.Diff([]string{"ada/b", "ada/c", "bob/e", "ada/logins", "bob/logins"}, names("ada", false)); diff != "" {
		t.Error(diff)
	}
	if n := len(names("", true)); n != 6 {
		t.Errorf("%d in all", n)
	}
	before := kept["bob/logins"]
	got, err := db.SavedQuery(t.Context(), before.ID)
	if diff := cmp.Diff(before, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	after := before
	after.Name, after.Columns, after.Changed = "sign-ins", nil, epoch.Add(1)
	if err := db.ChangeSavedQuery(t.Context(), before, after, most); err != nil {
		t.Fatal(err)
	}
	if got, err := db.SavedQuery(t.Context(), before.ID); err != nil || !cmp.Equal(got, after) {
		t.Errorf("changed: %v %s", err, cmp.Diff(after, got))
	}
	if err := db.ChangeSavedQuery(t.Context(), before, after, most); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("changed what was another by then: %v", err)
	}
	taken := after
	taken.Name, taken.Changed = "E", epoch.Add(2)
	if err := db.ChangeSavedQuery(t.Context(), after, taken, most); !errors.Is(err, state.ErrExists) {
		t.Errorf("a name that is taken: %v", err)
	}
	if err := db.DeleteSavedQuery(t.Context(), before); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("deleted what was another by then: %v", err)
	}
	if err := db.DeleteSavedQuery(t.Context(), after); err != nil {
		t.Error(err)
	}
}

// TestRemovedUsersQueries: with a user go their private queries, and whoever has the
// name later has no right to what they shared.
func TestRemovedUsersQueries(t *testing.T) { each(t, testRemovedUsersQueries) }

func testRemovedUsersQueries(t *testing.T, open opener) {
	db := open(t)
	most := state.SavedLimits{OfOwner: 9, Shared: 9}
	for _, name := range []string{"ada", "bob"} {
		if err := db.CreateUser(t.Context(), state.User{Name: name, Role: state.RoleAdmin}); err != nil {
			t.Fatal(err)
		}
		for i, shared := range []bool{false, true, true} {
			if _, err := db.CreateSavedQuery(t.Context(), state.SavedQuery{Owner: name, Name: fmt.Sprint(name, i), Shared: shared}, most); err != nil {
				t.Fatal(err)
			}
		}
		if name == "ada" {
			continue
		}
		for _, gone := range []string{"bob"} {
			if _, err := db.RemoveUser(t.Context(), gone); err != nil {
				t.Fatal(err)
			}
		}
	}
	list, err := db.SavedQueries(t.Context(), "bob", true)
	var got []string
	for _, q := range list {
		got = append(got, q.Owner+"/"+q.Name)
	}
	if diff := cmp.Diff([]string{"ada/ada0", "ada/ada1", "ada/ada2", "/bob1", "/bob2"}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}
