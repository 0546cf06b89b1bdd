// Package rights is the one table of who may call what: at the port of the hub
// and at that of the store. Both look here, so that a role means the same at each,
// and docs/security.md shows the same table.
//
// Methods are written as gRPC names them. A test in internal/hub holds the table
// against the services that are served.
package rights

import (
	"slices"

	"github.com/amoskys/amoskys/internal/identity"
)

// Table says which roles may call which method. A method that is not in it may be
// called by nobody.
type Table map[string][]identity.Role

// Allows reports whether a caller of a role may call a method.
func (t Table) Allows(role identity.Role, method string) bool {
	return slices.Contains(t[method], role)
}

// Hub returns the rights at the hub's port.
func Hub() Table {
	people := []identity.Role{identity.RoleDashboard, identity.RoleOperator}
	t := Table{
		// Stores and analyses publish findings alone; event.CheckType says which.
		"/amoskys.v1.EventBus/PublishEvent": {identity.RoleAgent, identity.RoleStore, identity.RoleAnalysis},
		"/amoskys.v1.EventBus/Publish":      {identity.RoleAgent, identity.RoleStore, identity.RoleAnalysis},
		"/amoskys.v1.EventBus/Subscribe": {
			identity.RoleSubscriber, identity.RoleStore, identity.RoleAnalysis, identity.RoleDashboard, identity.RoleOperator,
		},
		"/amoskys.v1.Fleet/Control":    {identity.RoleNode},
		"/amoskys.v1.Tasks/SendResult": {identity.RoleNode},

		"/amoskys.v1.Cursors/CommitCursor": {
			identity.RoleSubscriber, identity.RoleStore, identity.RoleAnalysis, identity.RoleDashboard, identity.RoleOperator,
		},
		"/amoskys.v1.Cursors/RemoveCursor": {identity.RoleOperator},

		"/amoskys.v1.Certificates/RenewCertificates": {identity.RoleNode, identity.RoleAgent},
		"/amoskys.v1.Certificates/CheckCertificate":  {identity.RoleNode, identity.RoleAgent},
		"/amoskys.v1.Certificates/WatchRevoked":      {identity.RoleStore, identity.RoleAnalysis},
	}
	t.allow(people,
		"/amoskys.v1.Fleet/ListAgents",
		"/amoskys.v1.Fleet/WatchAgents",
		"/amoskys.v1.Fleet/CommandAgent",
		"/amoskys.v1.Tasks/ListTasks",
		"/amoskys.v1.Tasks/RunTask",
		"/amoskys.v1.Tasks/CancelTask",
		"/amoskys.v1.Tasks/TaskResult",
		"/amoskys.v1.Accounts/Login",
		"/amoskys.v1.Accounts/Session",
		"/amoskys.v1.Accounts/Logout",
		"/amoskys.v1.Accounts/ChangePassword",
		"/amoskys.v1.SavedQueries/ListQueries",
		"/amoskys.v1.SavedQueries/SaveQuery",
		"/amoskys.v1.SavedQueries/ChangeQuery",
		"/amoskys.v1.SavedQueries/DeleteQuery",
		"/amoskys.v1.DeviceMarks/ListMarks",
		"/amoskys.v1.DeviceMarks/SetMarks",
		"/amoskys.v1.Enrollment/CreateToken",
		"/amoskys.v1.Enrollment/ListTokens",
		"/amoskys.v1.Enrollment/RevokeToken",
		"/amoskys.v1.Certificates/ListCertificates",
		"/amoskys.v1.Certificates/RevokeCertificates",
		"/amoskys.v1.Certificates/AuthorityStatus",
	)
	t.allow(people, queries()...)
	// A store asks how the log is: its answers say what it has lost. It keeps how long
	// acknowledgements take with the readings.
	t.allow([]identity.Role{identity.RoleDashboard, identity.RoleOperator, identity.RoleStore}, "/amoskys.v1.Query/Status", "/amoskys.v1.Query/Metrics")
	t.allow(people, "/amoskys.v1.Fleet/ForgetHost")
	t.allow([]identity.Role{identity.RoleOperator},
		"/amoskys.v1.Accounts/ListUsers",
		"/amoskys.v1.Accounts/AddUser",
		"/amoskys.v1.Accounts/SetPassword",
		"/amoskys.v1.Accounts/SetRole",
		"/amoskys.v1.Accounts/RemoveUser",
		"/amoskys.v1.Log/AcceptLoss",
		"/amoskys.v1.Log/TrustClock",
		"/amoskys.v1.Backups/NoteBackup",
	)
	t.allowAlways()
	return t
}

// Store returns the rights at the store's port.
func Store() Table {
	t := Table{}
	askers := []identity.Role{identity.RoleDashboard, identity.RoleOperator, identity.RoleAnalysis}
	t.allow(askers, queries()...)
	t.allow(askers,
		"/amoskys.v1.Devices/ListDevices",
		"/amoskys.v1.Devices/FindDevice",
		"/amoskys.v1.Devices/Topology",
		"/amoskys.v1.Metrics/Prometheus",
	)
	t.allow([]identity.Role{identity.RoleOperator}, "/amoskys.v1.Snapshots/HoldSnapshot")
	t.allowAlways()
	return t
}

// queries are the methods of the Query service, which hub and store both serve.
func queries() []string {
	return []string{
		"/amoskys.v1.Query/Status",
		"/amoskys.v1.Query/SearchEvents",
		"/amoskys.v1.Query/Event",
		"/amoskys.v1.Query/Series",
		"/amoskys.v1.Query/Metrics",
		"/amoskys.v1.Query/Rows",
		"/amoskys.v1.Query/Export",
		"/amoskys.v1.Query/FieldNames",
		"/amoskys.v1.Query/FieldValues",
	}
}

// allowAlways opens what every server of ours has: health to everyone who has a
// certificate, reflection to operators.
func (t Table) allowAlways() {
	t.allow(identity.Roles(),
		"/grpc.health.v1.Health/Check",
		"/grpc.health.v1.Health/List",
		"/grpc.health.v1.Health/Watch",
	)
	t.allow([]identity.Role{identity.RoleOperator},
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
	)
}

func (t Table) allow(roles []identity.Role, methods ...string) {
	for _, m := range methods {
		t[m] = roles
	}
}
