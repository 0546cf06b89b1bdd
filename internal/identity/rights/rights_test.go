package rights_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/identity/rights"
)

// TestStore holds every cell of the store's table: nobody publishes to a store or
// subscribes to it, and those who ask are dashboards, operators and analyses; a
// snapshot is for operators.
func TestStore(t *testing.T) {
	table := rights.Store()
	for method, roles := range table {
		want := []identity.Role{identity.RoleDashboard, identity.RoleOperator, identity.RoleAnalysis}
		switch {
		case strings.HasPrefix(method, "/grpc.health."):
			want = identity.Roles()
		case strings.HasPrefix(method, "/grpc.reflection."), strings.HasPrefix(method, "/amoskys.v1.Snapshots/"):
			want = []identity.Role{identity.RoleOperator}
		case !strings.HasPrefix(method, "/amoskys.v1.Query/") && !strings.HasPrefix(method, "/amoskys.v1.Devices/") &&
			!strings.HasPrefix(method, "/amoskys.v1.Metrics/"):
			t.Errorf("the store serves %s", method)
		}
		for _, role := range identity.Roles() {
			if got := slices.Contains(roles, role); got != slices.Contains(want, role) {
				t.Errorf("%s as %s: %t", method, role, got)
			}
		}
	}
	for method := range rights.Hub() {
		if strings.HasPrefix(method, "/amoskys.v1.Query/") && table[method] == nil {
			t.Errorf("the store lacks %s, which the hub serves", method)
		}
	}
}
