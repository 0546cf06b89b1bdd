//go:build unix

package skew

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// TestHostsAndHubOfTwoBuilds: a fleet is never of one build. The hosts of either
// publish to the hub of the other, with the certificates that they have, are shown
// there and obey.
func TestHostsAndHubOfTwoBuilds(t *testing.T) {
	before, now := Previous(t), Current(t)
	for _, tt := range []struct {
		name      string
		host, hub Programs
	}{
		{"previous host, current hub", before, now},
		{"current host, previous hub", now, before},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.run(before.Amoskys, "certs", "init")
			w.startHub(tt.hub)
			kinds, ids := "eventbus", []string{"eventbus"}
			if runtime.GOOS == "linux" {
				kinds, ids = "eventbus,proc", []string{"eventbus", "proc_agent"}
			}
			node := w.start(tt.host.Agent, "node", "--agents", kinds)
			for _, id := range ids {
				w.until(id+" runs, as the hub sees it", func() bool { return w.agents(tt.hub)[id] == "running" })
			}
			w.until("the hub's health is published", func() bool { return w.count(tt.hub, "hub.health") >= 2 })
			w.until("the agents' health is published", func() bool { return w.count(tt.hub, "agent.health") >= 2 })
			if runtime.GOOS == "linux" {
				w.until("processes are published", func() bool { return w.count(tt.hub, "process.") >= 1 })
			}
			w.run(tt.hub.Amoskys, "agents", "restart", "eventbus")
			if out := w.run(tt.hub.Amoskys, "agents", "logs", "eventbus"); !strings.Contains(out, "agent started") {
				t.Errorf("its log: %s", out)
			}
			node.stop()
			// Commands of either build speak to a hub of the other.
			if w.count(tt.host, "hub.health") == 0 {
				t.Error("the other build's tail shows nothing")
			}
			w.verify(tt.hub)
		})
	}
}

// TestUpgrade: what the previous build left behind, log, database, certificates,
// configuration and spool, is taken up by this one; nothing that was acknowledged
// or spooled is lost.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	before, now := Previous(t), Current(t)
	w := newWorld(t)
	w.run(before.Amoskys, "certs", "init")
	hub := w.startHub(before)
	agent := w.start(before.Agent, "agent", "eventbus")
	w.until("events are in the log", func() bool { return w.count(before, "hub.health") >= 2 })
	stored := w.count(before, "agent.health")
	hub.stop()
	hub.ended()
	w.until("events are in the spool", func() bool { return spooled(w) })
	agent.stop()
	agent.ended()

	w.verify(now)
	if out := w.run(now.Amoskys, "config", "validate"); strings.Contains(out, "fault") {
		t.Errorf("the configuration: %s", out)
	}
	hub = w.startHub(now)
	if got := w.count(now, "agent.health"); got < stored {
		t.Errorf("%d events of %d are left", got, stored)
	}
	agent = w.start(now.Agent, "agent", "eventbus")
	w.until("the spool of the previous build is delivered", func() bool { return w.count(now, "agent.health") > stored+1 })
	agent.stop()
	agent.ended()
	hub.stop()
	hub.ended()
	w.verify(now)
}

// spooled reports whether the hub monitor's spool holds something.
func spooled(w *world) bool {
	var size int64
	_ = filepath.WalkDir(filepath.Join(w.home, "data", "spool", "eventbus"), func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	return size > 1024
}

// TestDowngrade: the previous build refuses the log that this one wrote and touches
// nothing of it, until this one has rewritten it; then it reads all of it, and goes on.
// Its hub either serves, or says that the database is of a newer one and touches
// nothing: docs/operations.md says what to do then.
func TestDowngrade(t *testing.T) {
	t.Parallel()
	before, now := Previous(t), Current(t)
	w := newWorld(t)
	w.run(now.Amoskys, "certs", "init")
	hub := w.startHub(now)
	agent := w.start(now.Agent, "agent", "eventbus")
	w.until("events are in the log", func() bool { return w.count(now, "hub.health") >= 2 })
	agent.stop()
	agent.ended()
	if runtime.GOOS == "linux" { // whose first look makes a batch that is worth packing
		agent := w.start(now.Agent, "agent", "proc")
		w.until("processes are in the log", func() bool { return w.count(now, "process.") >= 1 })
		agent.stop()
		agent.ended()
	}
	hub.stop()
	hub.ended()
	w.verify(now)
	// Both ways, so that packed records are among what the previous build meets.
	w.run(now.Amoskys, "wal", "rewrite", "--format", "1", "--remove-old", "--yes")
	w.verify(before)
	w.run(now.Amoskys, "wal", "rewrite", "--format", "2", "--remove-old", "--yes")
	w.verify(now)
	events := w.dumped(now)
	if runtime.GOOS == "linux" && !strings.Contains(w.run(now.Amoskys, "wal", "dump", "--json"), `"codec":"s2"`) {
		t.Error("no record is packed")
	}
	if _, err := w.try(before.Amoskys, "wal", "verify"); err != nil { // a build that does not know packed records
		w.refused(before)
	}
	w.run(now.Amoskys, "wal", "rewrite", "--format", "1", "--yes")
	w.verify(before)
	if got := w.dumped(before); !same(t, got, events) {
		t.Errorf("the previous build reads %d bytes of events, there are %d", len(got), len(events))
	}

	old := w.start(before.Amoskys, "hub")
	served := false
	w.until("the previous hub serves, or says why not", func() bool {
		select {
		case err := <-old.done:
			old.done <- err
			return true
		default:
		}
		_, err := w.try(before.Amoskys, "status", "--json")
		served = err == nil
		return served
	})
	if !served && !strings.Contains(old.ended(), "written by a newer version") {
		t.Errorf("the previous hub says: %s", old.out)
	}
	t.Logf("the previous hub serves: %v", served)
	old.stop()
	old.ended()
	if !served {
		files, err := filepath.Glob(filepath.Join(w.home, "data", "state.db*"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, file := range files {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
		old := w.startHub(before)
		if w.count(before, "hub.health") < 2 {
			t.Error("the previous hub does not show what is in the log")
		}
		old.stop()
		old.ended()
	}
	w.verify(now)
	hub = w.startHub(now)
	if w.count(now, "hub.health") < 2 {
		t.Error("events are lost on the way back and forth")
	}
	hub.stop()
	hub.ended()
	w.verify(now)
}

// same reports whether what the previous build shows of each event is what this one
// shows. It leaves out the fields that it does not know.
func same(t *testing.T, before, now string) bool {
	t.Helper()
	b, n := strings.Split(before, "\n"), strings.Split(now, "\n")
	if len(b) != len(n) {
		return false
	}
	for i := range b {
		offset, old, _ := strings.Cut(b[i], " ")
		again, all, _ := strings.Cut(n[i], " ")
		if offset != again || old != all && !within(t, parsed(t, old), parsed(t, all)) {
			return false
		}
	}
	return true
}

func parsed(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// within reports whether all that part has is in whole.
func within(t *testing.T, part, whole any) bool {
	t.Helper()
	p, ok := part.(map[string]any)
	if !ok {
		return reflect.DeepEqual(part, whole)
	}
	w, ok := whole.(map[string]any)
	if !ok {
		return false
	}
	for key, v := range p {
		if !within(t, v, w[key]) {
			return false
		}
	}
	return true
}

// dumped are the events of the log as a build reads its files.
func (w *world) dumped(p Programs) string {
	w.t.Helper()
	var b strings.Builder
	for text := range strings.Lines(w.run(p.Amoskys, "wal", "dump", "--json")) {
		var line struct {
			Offset uint64          `json:"offset"`
			Kind   string          `json:"kind"`
			Event  json.RawMessage `json:"event"`
		}
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			w.t.Fatal(err)
		}
		switch line.Kind {
		case "events":
			fmt.Fprintf(&b, "%d %s\n", line.Offset, line.Event)
		case "damage":
			w.t.Errorf("the %s build: %s", p.Name, text)
		}
	}
	return b.String()
}

// refused checks that a build neither opens the log nor changes a file of it.
func (w *world) refused(p Programs) {
	w.t.Helper()
	before := w.files()
	if out, err := w.try(p.Amoskys, "wal", "verify"); err == nil || !strings.Contains(out, "written by a newer version") {
		w.t.Errorf("the %s build verifies the log: %v, %s", p.Name, err, out)
	}
	hub := w.start(p.Amoskys, "hub")
	if out := hub.ended(); !strings.Contains(out, "written by a newer version") {
		w.t.Errorf("the %s hub says: %s", p.Name, out)
	}
	if after := w.files(); !maps.Equal(after, before) {
		w.t.Errorf("the %s hub has changed the log", p.Name)
	}
}

// files are the segments of the log and their bytes.
func (w *world) files() map[string]string {
	w.t.Helper()
	names, err := filepath.Glob(filepath.Join(w.home, "data", "wal", "*.wal"))
	if err != nil || len(names) == 0 {
		w.t.Fatal(names, err)
	}
	files := map[string]string{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			w.t.Fatal(err)
		}
		files[filepath.Base(name)] = string(b)
	}
	return files
}

// TestPreviousIsNamed: the file that names the commit can be read by all that use it.
func TestPreviousIsNamed(t *testing.T) {
	if _, err := Commit(); err != nil {
		t.Error(err)
	}
}
