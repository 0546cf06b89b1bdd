package hub

import (
	"testing"

	"github.com/amoskys/amoskys/internal/identity"
)

// TestCursorNamesAreApart: nobody can move the cursor of another.
func TestCursorNamesAreApart(t *testing.T) {
	seen := map[string]identity.ID{}
	for _, role := range []identity.Role{identity.RoleSubscriber, identity.RoleOperator} {
		for _, name := range []string{"a", "a/b", "a_b", "a-b", "a.b", "b", "b/a"} {
			id := identity.ID{Domain: "test", Role: role, Name: name}
			got, err := cursorName(id, "siem")
			if err != nil {
				t.Fatal(err)
			}
			if other, ok := seen[got]; ok {
				t.Errorf("%s and %s share the cursor %s", other, id, got)
			}
			seen[got] = id
		}
	}
	for _, bad := range []string{"", ".x", "a/b", "a@b", "é"} {
		if got, err := cursorName(identity.ID{Role: identity.RoleSubscriber, Name: "a"}, bad); err == nil {
			t.Errorf("%q became %q", bad, got)
		}
	}
}
