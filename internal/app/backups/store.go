package backups

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/backup"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/vfs"
)

// snapshotPatience is how long a store may take to make all durable and to take its
// snapshots.
const snapshotPatience = 2 * time.Minute

// takeStore takes what the store keeps: by a snapshot that it holds while it runs, else
// the files as they lie there, which nobody may open before the backup is done.
func (g *gathering) takeStore(ctx context.Context) error {
	parts, err := g.holdStore(ctx)
	switch {
	case errors.Is(err, remote.ErrStoreNotRunning):
		return g.storeAtRest()
	case err != nil:
		return err
	}
	for _, p := range parts {
		to, configured := below(g.store.Store.Path, storePath), g.store.Store.Path
		if p.GetName() == partMetrics {
			to, configured = below(g.store.TSDB.Path, metricsPath), g.store.TSDB.Path
		}
		if err := g.takeHeld(p, to, g.e.Home.Path(configured)); err != nil {
			return err
		}
	}
	return nil
}

// takeHeld takes one snapshot of the store's.
func (g *gathering) takeHeld(p *pb.SnapshotPart, to, folder string) error {
	part := backup.Part{Name: p.GetName(), Path: to, Offset: p.GetOffset(), Missing: p.GetMissing()}
	if part.Missing == "" {
		if _, err := os.Stat(p.GetFolder()); err != nil {
			part.Missing = "the store keeps it on another machine: run the backup there"
		}
	}
	if part.Missing != "" {
		g.parts = append(g.parts, part)
		return nil
	}
	before := len(g.sources)
	if err := g.addTree(to, p.GetFolder(), nil); err != nil {
		return fmt.Errorf("read the snapshot of the %s: %w", part.Name, err)
	}
	if len(g.sources) == before {
		part.Missing = nothingYet
	}
	g.parts = append(g.parts, part)
	if part.Name == partStore {
		return g.besideStore(to, folder, p.GetFolder())
	}
	return nil
}

// besideStore takes the small files that a store keeps beside its engine's.
// taken is the folder that holds what of the engine is in the backup.
func (g *gathering) besideStore(to, folder, taken string) error {
	for _, name := range []string{"revoked.json", "clock"} {
		if err := g.addSmall(path.Join(to, name), filepath.Join(folder, name)); err != nil {
			return fmt.Errorf("read what the store keeps: %w", err)
		}
	}
	if err := g.takeSums(to, folder, taken); err != nil {
		return fmt.Errorf("read the checksums of the store: %w", err)
	}
	notes, err := filepath.Glob(filepath.Join(folder, "quarantine", "*.json"))
	if err != nil {
		return fmt.Errorf("read what the store keeps: %w", err)
	}
	for _, n := range notes {
		if err := g.addSmall(path.Join(to, "quarantine", filepath.Base(n)), n); err != nil {
			return fmt.Errorf("read what the store keeps: %w", err)
		}
	}
	g.addBytes(path.Join(to, "unclean"), 0o600, []byte("mending\n")) // what is behind the place is read again
	return nil
}

// takeSums takes the checksums of the engine's parts, by which `store verify` knows them
// again: of those alone that are in the backup, as a day with fewer events than its checksums
// tell of is taken for a damaged one.
func (g *gathering) takeSums(to, folder, taken string) error {
	files, err := filepath.Glob(filepath.Join(folder, "sums", "*.json"))
	if err != nil {
		return err
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		var sums struct {
			Version int                        `json:"version"`
			Parts   map[string]json.RawMessage `json:"parts"`
		}
		if json.Unmarshal(text, &sums) != nil {
			continue // the store does not read it either, and makes it anew
		}
		day := strings.TrimSuffix(filepath.Base(name), ".json")
		for part := range sums.Parts {
			if _, err := os.Stat(filepath.Join(taken, "engine", "partitions", day, filepath.FromSlash(part))); err != nil {
				delete(sums.Parts, part)
			}
		}
		if text, err = json.Marshal(sums); err != nil {
			return err
		}
		g.addBytes(path.Join(to, "sums", filepath.Base(name)), 0o600, text)
	}
	return nil
}

// holdStore has the store take a snapshot, and hold it until the gathering is closed.
func (g *gathering) holdStore(ctx context.Context) ([]*pb.SnapshotPart, error) {
	c, err := remote.DialStore(g.e, "")
	if err != nil {
		if len(g.storeLocks()) == 0 {
			return nil, remote.ErrStoreNotRunning
		}
		return nil, err
	}
	calling, hangUp := context.WithCancelCause(ctx)
	g.release = append(g.release, func() error { hangUp(nil); return c.Close() })
	late := time.AfterFunc(snapshotPatience, func() { hangUp(errSlowStore) })
	defer late.Stop()
	var answer *pb.HoldSnapshotResponse
	call, err := c.Snapshots.HoldSnapshot(calling, &pb.HoldSnapshotRequest{})
	if err == nil {
		answer, err = call.Recv()
	}
	switch {
	case err == nil:
		return answer.GetParts(), nil
	case errors.Is(context.Cause(calling), errSlowStore):
		return nil, errSlowStore
	}
	return nil, c.Explain(err)
}

// errSlowStore says that a store did not take its snapshot.
var errSlowStore = fmt.Errorf("the store did not make its events durable within %s: amoskys status says how it is, such as a disk that is full; "+
	"try again, or stop the store, whose files are then taken as they are", snapshotPatience)

// storeLocks are the files that a running store has locked.
func (g *gathering) storeLocks() []string {
	var there []string
	for _, name := range []string{
		filepath.Join(g.e.Home.Path(g.store.Store.Path), "engine", "flock.lock"),
		filepath.Join(g.e.Home.Path(g.store.TSDB.Path), "lock"),
	} {
		if _, err := os.Stat(name); err == nil {
			there = append(there, name)
		}
	}
	return there
}

// storeAtRest takes the files of a store that does not run.
func (g *gathering) storeAtRest() error {
	for _, name := range g.storeLocks() {
		lock, err := vfs.OS{}.Lock(name)
		if held, is := errors.AsType[*vfs.LockedError](err); is {
			return fmt.Errorf("a store has %s open (process %d) and does not answer: wait until it serves, or stop it", filepath.Dir(name), held.PID)
		}
		if err != nil {
			return fmt.Errorf("look whether the store runs: %w", err)
		}
		g.release = append(g.release, lock.Close)
	}
	if missing := elsewhere(g.store.Store.Engine); missing != "" {
		g.parts = append(g.parts, backup.Part{Name: partStore, Path: below(g.store.Store.Path, storePath), Missing: missing})
		return g.metricsAtRest()
	}
	folder, to := g.e.Home.Path(g.store.Store.Path), below(g.store.Store.Path, storePath)
	skip := func(rel string) bool {
		top, _, _ := strings.Cut(rel, "/")
		return top != "engine" && top != "place" || strings.Contains(rel, "/snapshots") || path.Base(rel) == "flock.lock"
	}
	if err := g.takeRest(partStore, to, folder, skip); err != nil {
		return err
	}
	if _, err := os.Stat(folder); err == nil {
		if err := g.besideStore(to, folder, folder); err != nil {
			return err
		}
	}
	return g.metricsAtRest()
}

// elsewhere says why the events of a store are not in the backup whose engine keeps them
// on other machines; empty where its files are the store's own.
func elsewhere(engine string) string {
	switch engine {
	case "", "victorialogs", "embedded":
		return ""
	default:
		return fmt.Sprintf("the store's engine is %s, which keeps the events in files that are not the store's: back up its storage nodes, "+
			"or have them filled again from the log", engine)
	}
}

// metricsAtRest takes the metrics of a store that does not run.
func (g *gathering) metricsAtRest() error {
	metrics, to := g.e.Home.Path(g.store.TSDB.Path), below(g.store.TSDB.Path, metricsPath)
	return g.takeRest(partMetrics, to, metrics, func(rel string) bool {
		top, _, _ := strings.Cut(rel, "/")
		return top == "snapshots" || top == "set_aside" || rel == "lock"
	})
}

// takeRest takes one part as it lies there.
func (g *gathering) takeRest(name, to, folder string, skip func(string) bool) error {
	part := backup.Part{Name: name, Path: to}
	if _, err := os.Stat(folder); err != nil {
		part.Missing = "there is none"
		g.parts = append(g.parts, part)
		return nil
	}
	before := len(g.sources)
	if err := g.addTree(to, folder, skip); err != nil {
		return fmt.Errorf("read %s: %w", folder, err)
	}
	if len(g.sources) == before {
		part.Missing = nothingYet
	}
	g.parts = append(g.parts, part)
	return nil
}

// nothingYet is why a part has no files whose folder is there.
const nothingYet = "it holds nothing yet"
