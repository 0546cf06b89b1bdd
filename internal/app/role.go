package app

import (
	"context"
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/node"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Role is one process that a machine may run beside its agents: all that the
// command of its name, configuration, up, down and status know of it.
type Role struct {
	// Name is its command, its line on the screen and its name in run/up.json.
	Name string
	// Summary and Help tell people about the command; Example is how it is called.
	Summary, Help, Example string
	// Run is the command; nil where the command is made elsewhere.
	Run func(context.Context, *cli.Env) error
	// Log names its log in logs/, without .log.
	Log string
	// File is its configuration, Template the commented default of it.
	File     func(config.Home) string
	Template func() []byte
	// After are the roles that must be ready before up starts it.
	After []string
	// Optional says that up is of use without it: it goes on when this one cannot
	// start, says so, and tries again.
	Optional bool
	// Skip tells up to leave it out; nil never.
	Skip func(RoleOptions) bool
	// Load reads the configuration, which it returns too where it has faults: those
	// are a config.Faults.
	Load func(*cli.Env, RoleOptions, config.DecodeOptions) (Settings, error)
}

// RoleOptions are what a person tells up beside the configuration.
type RoleOptions struct {
	Agents      []string // kinds to run instead of those in the node's file, when not nil
	NoDashboard bool
	// NoNode leaves this host's agents out: nobody would take what they send.
	NoNode bool
	// Force starts the hub of a restored home although the one that it was restored from
	// answers.
	Force bool
}

// Settings are what a role's configuration says to others.
type Settings struct {
	Config  any                                       // as it was read, to be shown
	Program string                                    // to run instead of this one, when not empty
	Args    []string                                  // behind the role's command
	Stop    time.Duration                             // how long it gives itself to stop
	Cert    string                                    // file of the certificate that it cannot start without
	Ports   []Port                                    // that it listens on; the first is shown
	Agents  []node.Agent                              // that it starts
	Host    string                                    // this machine's name, as it tells the hub
	Page    string                                    // where a browser finds it; empty for nowhere
	Stopped string                                    // what people are told when all has stopped
	Ready   func(context.Context, Surroundings) error // nil once it works, else why not
	// Alive asks on a cheap path whether it does anything at all; nil asks nobody. One
	// that was and is not for Hang (see child.Options) is killed and started again.
	Alive func(context.Context, Surroundings) error
	Hang  time.Duration
}

// Port is a TCP port that a role listens on.
type Port struct {
	Who  string // such as "the hub's metrics"
	Addr string // host:port; port 0 takes a free one
	Key  string // of the configuration
}

// Surroundings are what a role may look at to tell whether it works.
type Surroundings interface {
	// Hub is a connection to the hub.
	Hub() (*remote.Client, error)
	// Store is a connection to the store.
	Store() (*remote.Store, error)
	// Agents are this host's, as the hub knows them.
	Agents() []*pb.AgentStatus
}

// Roles lists every role, in an order in which they can start. A new one is one
// entry here: docs/recipes/add-a-role.md.
func Roles() []Role { return []Role{hubRole(), storeRole(), dashboardRole(), nodeRole()} }

// FindRole returns the role of that name.
func FindRole(name string) (Role, error) {
	for _, r := range Roles() {
		if r.Name == name {
			return r, nil
		}
	}
	return Role{}, fmt.Errorf("there is no role %q", name)
}
