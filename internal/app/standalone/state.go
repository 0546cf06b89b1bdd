package standalone

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/node/usage"
)

// errLocked says that another up has the home folder.
var errLocked = errors.New("home is in use")

// Phases of up.
const (
	phaseStarting = "starting"
	phaseReady    = "ready"
	phaseStopping = "stopping"
)

// runState is run/up.json: what runs, for down, for a second up, and for whoever
// comes after a kill -9. It is true only while the lock is held.
type runState struct {
	process

	Phase    string              `json:"phase"`
	URL      string              `json:"url"`
	Started  time.Time           `json:"started"`
	Children []process           `json:"children"`
	Roles    []remote.RoleStatus `json:"roles"`
}

// equal reports whether both say the same.
func (s runState) equal(t runState) bool {
	return s.process == t.process && s.Phase == t.Phase && s.URL == t.URL && slices.Equal(s.Children, t.Children) && slices.Equal(s.Roles, t.Roles)
}

// process names a process beyond the reuse of its pid.
type process struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // see usage.Sample; 0 where the system does not tell
}

func processOf(name string, pid int) process {
	p := process{Name: name, PID: pid}
	if s, err := usage.Of(pid); err == nil {
		p.Start = s.Start
	}
	return p
}

// running reports whether the process still exists, and is not another with its pid.
func (p process) running() bool {
	if p.PID <= 0 || !alive(p.PID) {
		return false
	}
	s, err := usage.Of(p.PID)
	if errors.Is(err, usage.ErrUnsupported) || p.Start == 0 {
		return true
	}
	return err == nil && s.Start == p.Start && !s.Ended
}

func lockPath(home config.Home) string  { return filepath.Join(home.Run(), "up.lock") }
func statePath(home config.Home) string { return filepath.Join(home.Run(), "up.json") }

// readState reads run/up.json; the zero state when there is none or it is torn.
func readState(home config.Home) runState {
	var s runState
	text, err := os.ReadFile(statePath(home))
	if err != nil || json.Unmarshal(text, &s) != nil {
		return runState{}
	}
	return s
}

// Running are the roles that up runs under home now, and since when; none when it
// does not run.
func Running(home config.Home) (roles []remote.RoleStatus, since *time.Time) {
	s := readState(home)
	if !s.running() {
		return nil, nil
	}
	if u, err := usage.Of(s.PID); err == nil && u.Age() > 0 {
		s.Started = time.Now().Add(-u.Age()) // the clock may have been set since
	}
	return s.Roles, &s.Started
}

func (s runState) write(home config.Home) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write state of up: %w", err)
	}
	temp := statePath(home) + ".new"
	if err := os.WriteFile(temp, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write state of up: %w", err)
	}
	if err := os.Rename(temp, statePath(home)); err != nil {
		return fmt.Errorf("write state of up: %w", err)
	}
	return nil
}

func removeState(home config.Home) error {
	if err := os.Remove(statePath(home)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove state of up: %w", err)
	}
	return nil
}
