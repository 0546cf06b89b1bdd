// Package arch states which of our packages may import which, and what every
// package, file and folder owes to its reader. It holds no code for the
// product: its tests fail when the tree and this table part ways.
package arch

import (
	"slices"
	"strings"
)

// Module is the path that every import of ours starts with.
const Module = "github.com/amoskys/amoskys"

// Layer is a group of packages with the same rights. Paths are relative to
// Module; one that ends in "/..." also covers everything below it.
type Layer struct {
	// Name is the layer's name in messages and in .golangci.yml.
	Name string
	// Packages are the members. A package belongs to the layer whose
	// pattern for it is the longest.
	Packages []string
	// May lists what of ours the members may import. Members of the same
	// layer may import each other only if they are listed too.
	May []string
	// Never lists modules of others that the members must not import.
	Never []string
	// Why is one line that a person who breaks the rule is shown.
	Why string
}

const (
	grpc     = "google.golang.org/grpc"
	protobuf = "google.golang.org/protobuf"
	engine   = "github.com/VictoriaMetrics/VictoriaLogs"
)

// Layers returns the table, from the bottom of the tree to the top.
func Layers() []Layer {
	return slices.Concat(foundations(), roles(), assembly())
}

// foundations are what roles are made of.
func foundations() []Layer { //nolint:funlen // a table
	return []Layer{
		{
			Name: "ground", Packages: []string{"internal/pb/...", "internal/vfs/...", "internal/obs/...", "internal/limit/...", "internal/codec", "internal/mask", "internal/arch/...", "internal/identity/hostname", "internal/unread", "web", "deploy/..."},
			May: []string{"internal/vfs/...", "internal/obs/...", "internal/limit/..."},
			Why: "it lies at the bottom and knows nothing of the rest",
		},
		{
			Name: "config", Packages: []string{"internal/config/..."},
			May: []string{"internal/config/...", "internal/obs/..."}, Never: []string{grpc, protobuf},
			Why: "what users write is read without knowing who asks",
		},
		{
			Name: "event", Packages: []string{"internal/event/...", "internal/entity/..."},
			May: []string{"internal/event/...", "internal/entity/...", "internal/identity/hostname", "internal/pb/..."}, Never: []string{grpc},
			Why: "events are data, wherever they travel",
		},
		{
			Name: "parquet", Packages: []string{"internal/parquet"},
			May: []string{"internal/event/...", "internal/pb/..."}, Never: []string{grpc},
			Why: "a file of events knows neither who asked for it nor where it goes",
		},
		{
			Name: "language", Packages: []string{"internal/logsql/..."},
			May: []string{"internal/logsql/...", "internal/event/...", "internal/entity/...", "internal/identity/hostname", "internal/pb/..."}, Never: []string{grpc},
			Why: "a query means the same wherever it is asked, stored or live",
		},
		{
			Name: "cli", Packages: []string{"internal/cli/..."},
			May: []string{"internal/cli/...", "internal/config/...", "internal/obs/..."}, Never: []string{grpc, protobuf},
			Why: "commands print and parse; roles live in internal/app",
		},
		{
			Name: "stream", Packages: []string{"internal/stream/..."},
			May: []string{"internal/codec", "internal/stream/...", "internal/obs/..."}, Never: []string{grpc, protobuf},
			Why: "what hub and readers need of a log depends on no log and decodes no event",
		},
		{
			Name: "log", Packages: []string{"internal/wal/..."},
			May: []string{"internal/wal/...", "internal/codec", "internal/stream/...", "internal/obs/...", "internal/vfs/..."}, Never: []string{grpc, protobuf},
			Why: "the log carries opaque bytes and never decodes an event",
		},
		{
			Name: "clock", Packages: []string{"internal/clock/..."},
			May: []string{"internal/clock/...", "internal/obs/...", "internal/vfs/..."}, Never: []string{grpc, protobuf},
			Why: "what time it is depends on nobody who asks",
		},
		{
			Name: "identity", Packages: []string{"internal/identity/..."},
			May: []string{"internal/identity/...", "internal/config/...", "internal/limit/...", "internal/obs/...", "internal/vfs/..."}, Never: []string{grpc, protobuf},
			Why: "who a peer is does not depend on what it wants",
		},
		{
			Name: "backup", Packages: []string{"internal/backup"},
			May: []string{"internal/vfs/..."}, Never: []string{grpc, protobuf},
			Why: "who keeps files knows nothing of what is in them",
		},
		{
			Name: "dial", Packages: []string{"internal/dial/..."},
			May: []string{"internal/config/...", "internal/identity/...", "internal/obs/..."}, Never: []string{protobuf},
			Why: "the way to the hub does not depend on what is sent there",
		},
		{
			Name: "spans", Packages: []string{"internal/spans/..."},
			May: []string{"internal/config/...", "internal/obs/..."},
			Why: "what is traced is decided by who does it; how that is recorded and sent is the same for all",
		},
		{
			Name: "state", Packages: []string{"internal/state/..."},
			May: []string{"internal/state/...", "internal/config/...", "internal/entity/...", "internal/event/...", "internal/limit/...", "internal/obs/...", "internal/pb/...", "internal/vfs/..."}, Never: []string{grpc},
			Why: "the database knows no service",
		},
		{
			Name: "agent", Packages: []string{"internal/agent/..."},
			May: []string{"internal/agent/...", "internal/codec", "internal/config/...", "internal/dial/...", "internal/event/...", "internal/identity/...", "internal/obs/...", "internal/pb/...", "internal/vfs/..."},
			Why: "what agents share speaks to the hub by gRPC alone and carries no server code",
		},
		{
			Name: "flow", Packages: []string{"internal/flow/..."},
			May: []string{"internal/flow/...", "internal/config/...", "internal/entity/...", "internal/event/...", "internal/identity/hostname", "internal/mask", "internal/obs/...", "internal/pb/...", "internal/vfs/..."}, Never: []string{grpc},
			Why: "packets and flows are the same from a wire, a file or a router; who publishes them is another's work",
		},
		{
			Name: "scan", Packages: []string{"internal/scan/..."},
			May: []string{"internal/scan/...", "internal/config/...", "internal/entity/...", "internal/event/...", "internal/flow/...", "internal/inventory/...", "internal/obs/...", "internal/pb/...", "internal/vfs/..."}, Never: []string{grpc},
			Why: "what is found on a network is the same for a command and an agent",
		},
		{
			Name: "snmp", Packages: []string{"internal/snmp/..."},
			May: []string{"internal/snmp/...", "internal/config/...", "internal/entity/...", "internal/event/...", "internal/obs/...", "internal/pb/..."}, Never: []string{grpc},
			Why: "a device is read the same for an agent, a command or a test; who publishes what is read is another's work",
		},
		{
			Name: "inventory", Packages: []string{"internal/inventory/..."},
			May: []string{"internal/inventory/...", "internal/entity/...", "internal/event/...", "internal/pb/..."}, Never: []string{grpc},
			Why: "who a device is does not depend on who saw it or who asks",
		},
		{
			Name: "agents", Packages: []string{"internal/agents/..."},
			May: []string{"internal/agent", "internal/agent/...", "internal/clock", "internal/config/...", "internal/entity/...", "internal/event/...", "internal/flow/...", "internal/identity/...", "internal/inventory/...", "internal/limit/...", "internal/mask", "internal/obs/...", "internal/pb/...", "internal/scan/...", "internal/snmp/..."}, Never: []string{grpc},
			Why: "an agent publishes through agent.Publisher and knows no other agent",
		},
		{
			Name: "agents-all", Packages: []string{"internal/agents/all"},
			May: []string{"internal/agent", "internal/agents/..."}, Never: []string{grpc},
			Why: "the list of agents is only a list",
		},
	}
}

// roles are what a process can be, and the readers of the log.
func roles() []Layer {
	return []Layer{
		{
			Name: "hub", Packages: []string{"internal/hub/..."},
			May: []string{"internal/hub/...", "internal/clock", "internal/config/...", "internal/entity/...", "internal/event/...", "internal/identity/...", "internal/limit/...", "internal/obs/...", "internal/pb/...", "internal/spans", "internal/state/...", "internal/codec", "internal/stream/...", "internal/unread", "internal/vfs/..."}, Never: []string{engine},
			Why: "the hub knows neither its subscribers nor its agents, and links no engine",
		},
		{
			Name: "node", Packages: []string{"internal/node/..."},
			May: []string{"internal/node/...", "internal/agent/...", "internal/clock", "internal/config/...", "internal/dial/...", "internal/event/...", "internal/identity/...", "internal/obs/...", "internal/pb/...", "internal/vfs/..."},
			Why: "the supervisor starts programs and dials out; it links no server",
		},
		{
			Name: "reader", Packages: []string{"internal/reader/..."},
			May: []string{"internal/reader/...", "internal/event/...", "internal/obs/...", "internal/pb/...", "internal/codec", "internal/stream/..."}, Never: []string{engine},
			Why: "a reader's runtime knows the log by its interface, and the hub by gRPC only",
		},
		{
			Name: "subscribers", Packages: []string{"internal/store/...", "internal/metrics/...", "internal/detect/...", "internal/anomaly/...", "internal/live/...", "internal/devices"},
			May: []string{"internal/store/...", "internal/metrics/...", "internal/inventory/...", "internal/codec", "internal/config/...", "internal/dial/...", "internal/entity/...", "internal/event/...", "internal/identity/...", "internal/limit/...", "internal/logsql/...", "internal/node/child", "internal/obs/...", "internal/pb/...", "internal/reader/...", "internal/spans", "internal/state/...", "internal/stream/...", "internal/unread", "internal/vfs/..."},
			Why: "a subscriber follows the log and can be rebuilt from it; the hub must not need it",
		},
		{
			Name: "tell", Packages: []string{"internal/devices/tell"},
			May: []string{"internal/pb/..."}, Never: []string{grpc},
			Why: "what is said of a device does not depend on where it was asked",
		},
		{
			Name: "clients", Packages: []string{"internal/tail/..."},
			May: []string{"internal/tail/...", "internal/logsql/...", "internal/cli/...", "internal/config/...", "internal/dial/...", "internal/entity/...", "internal/event/...", "internal/identity/...", "internal/obs/...", "internal/pb/...", "internal/reader"},
			Why: "a client knows the hub by gRPC only, so that it works from anywhere",
		},
		{
			Name: "dashboard", Packages: []string{"internal/dashboard/..."},
			May: []string{"internal/dashboard/...", "internal/devices/tell", "internal/logsql/...", "internal/config/...", "internal/dial/...", "internal/entity/...", "internal/event/...", "internal/identity/...", "internal/limit/...", "internal/obs/...", "internal/parquet", "internal/pb/...", "internal/reader", "internal/spans", "web"},
			Why: "a dashboard reads through gRPC only, so that replicas run anywhere",
		},
	}
}

// assembly is what turns roles into programs, and tests of whole programs.
func assembly() []Layer {
	return []Layer{
		{
			Name: "endpoint", Packages: []string{"internal/app/endpoint/..."},
			May: []string{"internal/app/endpoint/...", "internal/agent/...", "internal/agents/...", "internal/cli/...", "internal/config/...", "internal/dial/...", "internal/event/...", "internal/identity/...", "internal/mask", "internal/node/...", "internal/obs/...", "internal/pb/...", "internal/vfs/...", "deploy/..."},
			Why: "amoskys-agent carries nothing of hub, log, state or dashboard",
		},
		{
			Name: "app", Packages: []string{"internal/app/...", "internal/bench/...", "test/..."},
			May: []string{"internal/...", "web", "deploy/..."},
			Why: "assembly and measurement see everything",
		},
		{
			Name: "cmd", Packages: []string{"cmd/..."},
			May: []string{"internal/..."}, Never: []string{grpc, protobuf},
			Why: "commands are thin: they parse, call and print",
		},
		{
			Name: "cmd-agent", Packages: []string{"cmd/amoskys-agent"},
			May: []string{"internal/app/endpoint/...", "internal/cli/...", "internal/config/...", "internal/identity/...", "internal/obs/..."}, Never: []string{grpc, protobuf},
			Why: "amoskys-agent carries nothing of hub, log, state or dashboard",
		},
	}
}

// LayerOf returns the layer that the package at path, relative to Module,
// belongs to, and false if the table does not place it.
func LayerOf(layers []Layer, path string) (Layer, bool) {
	best, length := Layer{}, -1
	for _, l := range layers {
		for _, pattern := range l.Packages {
			if n := len(strings.TrimSuffix(pattern, "/...")); covers(pattern, path) && n > length {
				best, length = l, n
			}
		}
	}
	return best, length >= 0
}

// Allows reports whether members of l may import the package of ours at path,
// relative to Module.
func (l Layer) Allows(path string) bool {
	return slices.ContainsFunc(l.May, func(pattern string) bool { return covers(pattern, path) })
}

// Forbids reports whether members of l must not import the package of others
// with the import path path.
func (l Layer) Forbids(path string) bool {
	return slices.ContainsFunc(l.Never, func(module string) bool { return covers(module+"/...", path) })
}

// covers reports whether path is pattern, or lies below it if pattern ends in
// "/...".
func covers(pattern, path string) bool {
	root, tree := strings.CutSuffix(pattern, "/...")
	return path == root || tree && strings.HasPrefix(path, root+"/")
}
