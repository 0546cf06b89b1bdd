package snmp

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/snmp/trap"
)

// trapsFile is what of traps outlasts a restart, in the agent's data folder: with it, none is
// taken twice.
const trapsFile = "traps.json"

// trapsVersion is of the form of trapsFile.
const trapsVersion = 1

// trapMemory is the form of trapsFile.
type trapMemory struct {
	Version int `json:"version"`
	trap.State
}

// trapKeeper reads and writes it.
type trapKeeper struct {
	dir string

	mu     sync.Mutex // guards what follows
	kept   bool
	change uint64        // of the state that was written last
	rest   time.Duration // until it is written again
	at     time.Time     // when it was written
}

// keepRate is how many bytes a second are written at most of what traps come to, all in all:
// each time all is written, and with thousands of messages that is half a megabyte.
const keepRate = 16 << 10

// recall reads what was kept. Where it cannot, a trap of before may be taken once more.
func (k *trapKeeper) recall() (trap.State, error) {
	b, err := readState(k.dir, trapsFile)
	if err != nil || b == nil {
		return trap.State{}, err
	}
	return parseTraps(b)
}

// parseTraps reads the file's text.
func parseTraps(b []byte) (trap.State, error) {
	var m trapMemory
	if err := json.Unmarshal(b, &m); err != nil {
		return trap.State{}, fmt.Errorf("%w: %w", errState, err)
	}
	if m.Version != trapsVersion {
		return trap.State{}, fmt.Errorf("%w: version %d", errState, m.Version)
	}
	return m.State, nil
}

// keepDue is keep, unless what was written last was so much that it is too soon.
func (k *trapKeeper) keepDue(r *trap.Reader, now time.Time) error {
	k.mu.Lock()
	early := k.kept && now.Sub(k.at) < k.rest
	k.mu.Unlock()
	if early {
		return nil
	}
	return k.keep(r, now)
}

// keep writes the state of a reader, if it has changed.
func (k *trapKeeper) keep(r *trap.Reader, now time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	change := r.Changes()
	if k.kept && change == k.change {
		return nil
	}
	b, err := json.Marshal(trapMemory{trapsVersion, r.State()})
	if err != nil {
		return fmt.Errorf("keep %s: %w", trapsFile, err)
	}
	if err := writeState(k.dir, trapsFile, b); err != nil {
		return err
	}
	k.kept, k.change = true, change
	k.at, k.rest = now, time.Duration(len(b))*time.Second/keepRate
	return nil
}
