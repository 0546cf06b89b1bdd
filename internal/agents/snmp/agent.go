// Package snmp is the agent for network devices that speak SNMP: it finds them, reads
// them at intervals, takes their traps, and tells where other devices are plugged in.
//
// A device is polled by one of a few workers at its own phase of the interval, so that
// polls are spread and what is held in memory is bounded. Everything that is remembered
// of it between polls is small (see device and port). By default no subnet and no target
// is named: the agent listens for traps and sends nothing.
package snmp

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/clock"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/snmp/place"
	"github.com/amoskys/amoskys/internal/snmp/trap"
)

// Names of conditions and notes.
const (
	conditionCredentials = "credentials"
	conditionState       = "state"
	conditionTrapState   = "traps_state"
	noteDevices          = "devices"
)

const (
	// keepEvery is how often what outlasts a restart is written, at most.
	keepEvery = time.Minute
	// beat is how often how it goes is told.
	beat = 5 * time.Second
)

// Agent watches devices.
type Agent struct {
	cfg         Config
	o           agent.Options
	credentials []credential
	book        *book
	surveyor    *surveyor
	traps       *trapListener // nil listens to nothing
	search      *search
	plugs       *plugs // nil asks no switch where devices are
	metrics     *metrics
	believed    *clock.Clock // asked before something is forgotten by age
}

var _ agent.TaskLimiter = (*Agent)(nil)

// New returns an agent that has asked nobody yet.
func New(cfg Config, o agent.Options) (*Agent, error) {
	a := &Agent{cfg: cfg, o: o}
	a.believed = clock.Open(clock.Options{Readings: clock.Readings{Wall: o.Now}, File: filepath.Join(o.DataDir, "clock"), Logger: o.Logger})
	var err error
	a.credentials, err = cfg.SNMP.credentials(o.Home)
	o.Condition(conditionCredentials, err) // those that can be read are used
	names, err := cfg.readNames(o.Home, o.Logger)
	if err != nil {
		return nil, err
	}
	modules, facts := cfg.folders(o.Home)
	if a.surveyor, err = newSurveyor(modules, facts, names); err != nil {
		return nil, fmt.Errorf("snmp.modules: %w", err)
	}
	a.book = newBook(cfg.Polling.MaxDevices)
	if a.search, err = newSearch(a); err != nil {
		return nil, err
	}
	if cfg.Places.Enabled {
		a.plugs = newPlugs(a)
	}
	if cfg.Traps.Listen != "" {
		a.traps = newTrapListener(a, a.credentials)
	}
	a.metrics = newMetrics(a)
	if err := o.Registerer.Register(a.metrics); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	a.recall()
	a.keepTraps((*trapKeeper).keep)
	return a, nil
}

// Run implements agent.Agent.
func (a *Agent) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	a.describe()
	if a.traps != nil {
		parts.Go(func() { a.traps.run(ctx) })
	}
	parts.Go(func() { a.search.run(ctx) })
	parts.Go(func() { a.search.resolving(ctx) })
	parts.Go(func() { a.schedule(ctx) })
	if a.plugs != nil {
		parts.Go(func() { a.plugs.run(ctx) })
	}
	parts.Go(func() { a.look(ctx) })
	parts.Go(func() { _ = a.believed.Run(ctx) }) // which has no error
	parts.Wait()
	a.keepTraps((*trapKeeper).keep)
	a.keep()
	return nil
}

// look says now and then how it goes, and keeps what outlasts a restart.
func (a *Agent) look(ctx context.Context) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	kept := a.o.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.describe()
			a.keepTraps((*trapKeeper).keepDue)
			if now := a.o.Now(); now.Sub(kept) >= keepEvery {
				kept = now
				a.keep()
			}
		}
	}
}

// describe is the note for people.
func (a *Agent) describe() {
	c := a.book.count()
	text := "polls " + obs.Counted(uint64(c.devices), "device", "devices")
	if c.silent > 0 {
		text += fmt.Sprintf(", of which %d do not answer", c.silent)
	}
	if !a.cfg.sends() {
		text = "asks nobody: name subnets in snmp.scan_subnets, or devices in snmp.targets"
	}
	if a.traps != nil {
		text += "; takes traps on " + a.cfg.Traps.Listen
	}
	a.o.Note(noteDevices, text)
}

// recall reads what an agent before has kept. Damage costs what was kept, no more.
func (a *Agent) recall() {
	now := a.o.Now()
	var faults []error
	b, err := readState(a.o.DataDir, devicesFile)
	if err == nil && b != nil {
		var m memory
		if m, err = parseMemory(b); err == nil {
			a.book.restore(m, a.search.covers, now, a.o.Interval)
			a.search.trials.restore(m.Wrong, now)
		}
	}
	faults = append(faults, err)
	if a.plugs != nil {
		if b, err = readState(a.o.DataDir, placesFile); err == nil && b != nil {
			err = a.plugs.restore(b)
		}
		faults = append(faults, err)
	}
	for _, target := range a.cfg.SNMP.Targets {
		a.search.addTarget(target)
	}
	if err := errors.Join(faults...); err != nil {
		a.o.Logger.Warn("what was known of devices is lost", obs.KeyError, err)
	}
}

// keep writes what outlasts a restart.
func (a *Agent) keep() {
	m := memory{Version: devicesVersion, Devices: a.book.kept(), Wrong: a.search.trials.kept()}
	err := writeMemory(a.o.DataDir, m)
	if a.plugs != nil {
		if b := a.plugs.encode(); b != nil {
			err = errors.Join(err, writeState(a.o.DataDir, placesFile, b))
		}
	}
	a.o.Condition(conditionState, err)
	if err != nil {
		a.o.Logger.Warn("what is known of devices is not kept", obs.KeyError, err)
	}
}

// keepTraps writes which traps were taken, if any were since, by keep: what comes between two
// writes and a crash may be taken once more.
func (a *Agent) keepTraps(keep func(*trapKeeper, *trap.Reader, time.Time) error) {
	if a.traps == nil {
		return
	}
	a.o.Condition(conditionTrapState, keep(&a.traps.keeper, a.traps.read, a.o.Now()))
}

// placesOptions are those of places.
func (a *Agent) placesOptions() place.Options {
	return place.Options{Crowd: a.cfg.Places.Crowd, Age: a.believed.Age}
}
