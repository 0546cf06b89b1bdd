package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Home is the root folder of an installation. All paths are derived from it;
// the zero value means the working folder.
type Home string

// HomeVariable names the environment variable that sets the home folder when
// --home is not given.
const HomeVariable = "AMOSKYS_HOME"

// Packaged is the home of the program at this path where a package installed it there,
// and empty for any other program.
func Packaged(program string) Home {
	dir, name := filepath.Split(program)
	if dir != "/usr/bin/" || name != "amoskys" && name != "amoskys-agent" {
		return ""
	}
	return Home("/var/lib/" + name)
}

// Path resolves a configured path: absolute ones stay, others are under the home.
func (h Home) Path(rel string) string {
	if filepath.IsAbs(rel) {
		return filepath.Clean(rel)
	}
	return filepath.Join(string(h), rel)
}

// Abs returns the home with an absolute path.
func (h Home) Abs() (Home, error) {
	p, err := filepath.Abs(string(h))
	if err != nil {
		return "", fmt.Errorf("resolve home %q: %w", string(h), err)
	}
	return Home(p), nil
}

// Certs is the folder of certificates and keys.
func (h Home) Certs() string { return h.Path("certs") }

// Config is the folder of configuration files.
func (h Home) Config() string { return h.Path("config") }

// HubConfig is the configuration file of the hub.
func (h Home) HubConfig() string { return h.Path("config/eventbus_config.yaml") }

// StoreConfig is the configuration file of the store.
func (h Home) StoreConfig() string { return h.Path("config/store_config.yaml") }

// Store is the default folder of the store.
func (h Home) Store() string { return h.Path("data/store") }

// DashboardConfig is the configuration file of the dashboard.
func (h Home) DashboardConfig() string { return h.Path("config/dashboard_config.yaml") }

// NodeConfig is the configuration file of the node.
func (h Home) NodeConfig() string { return h.Path("config/node_config.yaml") }

// AgentConfig is the configuration file of an agent by its config name, such as
// "process_monitor".
func (h Home) AgentConfig(name string) string {
	return filepath.Join(h.Config(), "agents", fileName(name)+"_config.yaml")
}

// Data is the folder of everything that is kept.
func (h Home) Data() string { return h.Path("data") }

// WAL is the default folder of the hub's log.
func (h Home) WAL() string { return h.Path("data/wal") }

// Spool is the folder that holds one spool folder per agent.
func (h Home) Spool() string { return h.Path("data/spool") }

// Clock is the file of the time that the hub believes.
func (h Home) Clock() string { return h.Path("data/clock") }

// State is the file of the state database.
func (h Home) State() string { return h.Path("data/state.db") }

// Logs is the folder of log files.
func (h Home) Logs() string { return h.Path("logs") }

// Log is a role's log file, such as "eventbus" or "dashboard".
func (h Home) Log(name string) string { return filepath.Join(h.Logs(), fileName(name)+".log") }

// AgentLog is the log file of an agent by its id.
func (h Home) AgentLog(id string) string {
	return filepath.Join(h.Logs(), "agents", fileName(id)+".log")
}

// Errors is the log file that gathers the errors of every process.
func (h Home) Errors() string { return filepath.Join(h.Logs(), "errors.log") }

// Run is the folder of locks and of the state of running processes.
func (h Home) Run() string { return h.Path("run") }

// homeMarks are files and folders of which a home has at least one.
var homeMarks = []string{ //nolint:gochecknoglobals // a constant list
	"certs/ca.crt", "certs/ca.key", "certs/node.crt", "certs/agent.crt", "certs/eventbus.crt", "certs/operator.crt",
	"config/eventbus_config.yaml", "config/store_config.yaml", "config/node_config.yaml", "config/dashboard_config.yaml", "config/agents",
	"data/wal", "data/state.db", "data/spool", "data/node.json", "run/up.lock",
}

// Check returns an error that says what to do where h is no home: nothing of ours is
// in it, so that whoever calls is in the wrong folder.
func (h Home) Check() error {
	for _, mark := range homeMarks {
		_, err := os.Stat(h.Path(mark))
		if err == nil {
			return nil
		}
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("%s is of another user: call the same with sudo, or name a home of your own with --home or $%s (%w)", h, HomeVariable, err)
		}
	}
	return fmt.Errorf("there is no AMOSKYS home here (%s): name yours with --home or $%s, or cd to it; amoskys up makes a new one", h, HomeVariable)
}

// Same says that both name one folder, whatever links lead there.
func (h Home) Same(other Home) bool {
	if h == other {
		return true
	}
	a, err := os.Stat(string(h))
	if err != nil {
		return false
	}
	b, err := os.Stat(string(other))
	return err == nil && os.SameFile(a, b)
}

// Ensure makes the folders that every role needs, private to this user.
func (h Home) Ensure() error {
	for _, dir := range []string{
		string(h), h.Certs(), h.Config(), filepath.Join(h.Config(), "agents"),
		h.Data(), h.Spool(), h.Logs(), filepath.Join(h.Logs(), "agents"), h.Run(),
	} {
		if dir == "" {
			continue
		}
		if err := makeFolder(dir); err != nil {
			return fmt.Errorf("make home: %w", err)
		}
	}
	return nil
}

// makeFolder makes a folder and those above it. It may be a link to one that is not
// there yet, as packages and images lay homes out.
func makeFolder(dir string) error {
	if target, err := os.Readlink(dir); err == nil {
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(dir), target)
		}
		dir = target
	}
	return os.MkdirAll(dir, 0o700)
}

// fileName keeps an id from the network from naming a file outside its folder.
func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r == 0 {
			return '_'
		}
		return r
	}, s)
}
