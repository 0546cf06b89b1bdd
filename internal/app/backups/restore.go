package backups

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/backup"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/state"
	"github.com/amoskys/amoskys/internal/vfs"
)

// RestoreOptions say what is restored.
type RestoreOptions struct {
	From string // a folder, or s3://BUCKET/PREFIX
	ID   string // of the backup; the newest where empty
	// Sealing opens the private keys; nil restores without them.
	Sealing *backup.Sealing
	// Force lets the hub start although the one that the backup is of answers.
	Force    bool
	Progress func(done, total int64)

	// cut is asked behind each step whether the restore is cut short there; nil: never.
	cut func(step string) error
}

// Back is what `amoskys restore --json` prints.
type Back struct {
	ID      string    `json:"id"`
	Place   string    `json:"place"`
	Home    string    `json:"home"`
	Time    time.Time `json:"time"` // of the backup
	Host    string    `json:"host"`
	Offset  uint64    `json:"offset"`
	Files   int       `json:"files"`
	Bytes   int64     `json:"bytes"`
	Seconds float64   `json:"seconds"`
	// ReadOnly says that it came without keys: it has a new authority.
	ReadOnly bool `json:"read_only"`
	// Enrol are the hosts that must enrol again.
	Enrol    []string `json:"enrol,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// beforeFolder is where the certificates of the old authority go, where keys are not
// restored.
const beforeFolder = "certs.before"

// folders are what is put in place, in this order.
func folders() []string { return []string{"certs", "config", rulesPath, "data"} }

// restoring is one restore.
type restoring struct {
	e     *cli.Env
	o     RestoreOptions
	place backup.Place
	m     *backup.Manifest
	keys  []backup.Key
	stage config.Home
	back  *Back
}

// Restore brings a backup back into e.Home, which must hold nothing. Nothing is in place
// before all of it has been compared with its checksums; one that was cut short goes on
// when it is run again.
func Restore(ctx context.Context, e *cli.Env, o RestoreOptions) (back *Back, err error) {
	began := e.Now()
	r := &restoring{e: e, o: o, stage: config.Home(e.Home.Path(app.PartialRestore))}
	if r.place, err = backup.Open(ctx, o.From, e.Lookup, false); err != nil {
		return nil, err //nolint:wrapcheck // it says all
	}
	if r.m, err = backup.Load(ctx, r.place, o.ID); err != nil {
		return nil, err //nolint:wrapcheck // it says all
	}
	unlock, err := r.begin()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := backup.Check(ctx, r.place, r.m); err != nil {
		return nil, err //nolint:wrapcheck // it says all
	}
	if err := r.openKeys(ctx); err != nil {
		return nil, err
	}
	r.back = &Back{
		ID: r.m.ID, Place: r.place.String(), Home: string(e.Home), Time: r.m.Time, Host: r.m.Host, Offset: r.m.Log.Next,
		Files: len(r.m.Files), Bytes: r.m.Bytes(), ReadOnly: o.Sealing == nil,
	}
	for _, p := range r.m.Parts {
		if p.Missing != "" {
			r.back.Warnings = append(r.back.Warnings, missing(p))
		}
	}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{{"fetch", r.fetch}, {"compare", r.compare}, {"settle", r.settle}, {"certificates", r.newAuthority}, {"place", r.putInPlace}, {"end", r.end}} {
		if err := step.do(ctx); err != nil {
			return nil, err
		}
		if err := r.cutAt(step.name); err != nil {
			return nil, err
		}
	}
	r.back.Seconds = e.Now().Sub(began).Seconds()
	return r.back, nil
}

// cutAt is where a test ends a restore.
func (r *restoring) cutAt(step string) error {
	if r.o.cut == nil {
		return nil
	}
	return r.o.cut(step)
}

// Files in the folder of a restore: idFile says which backup it is of, and lockFile is
// locked while it goes on.
const (
	idFile   = app.PartialRestoreID
	lockFile = "lock"
)

// begin refuses a home that holds something, unless that is of the same restore, cut short,
// and keeps others out until unlock.
func (r *restoring) begin() (unlock func() error, err error) {
	id, err := os.ReadFile(filepath.Join(string(r.stage), idFile))
	text := strings.TrimSpace(string(id))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := r.refuseLiving(); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, fmt.Errorf("look at the home: %w", err)
	case text != r.m.ID:
		return nil, fmt.Errorf("a restore of %s into %s was cut short: run it again with --id %[1]s, or empty the folder", text, r.e.Home)
	}
	if err := os.MkdirAll(string(r.stage), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the restore: %w", err)
	}
	lock, err := vfs.OS{}.Lock(filepath.Join(string(r.stage), lockFile))
	if held, is := errors.AsType[*vfs.LockedError](err); is {
		return nil, fmt.Errorf("a restore into %s is under way (process %d): wait until it is done", r.e.Home, held.PID)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the folder of the restore: %w", err)
	}
	unlock = func() error {
		_, begun := os.Stat(filepath.Join(string(r.stage), idFile))
		if begun != nil { // nothing was begun, or all is done
			_ = os.Remove(filepath.Join(string(r.stage), lockFile))
		}
		err := lock.Close()
		if begun != nil { // behind the lock: what is open stays in its folder on NFS
			_ = os.Remove(string(r.stage))
		}
		return err
	}
	if text != "" {
		if err := r.takeBack(); err != nil {
			return nil, errors.Join(err, unlock())
		}
	}
	return unlock, nil
}

// refuseLiving refuses a home that holds something.
func (r *restoring) refuseLiving() error {
	if r.e.Home.Check() == nil {
		return fmt.Errorf("%s is a home already, and is left as it is: restore into an empty folder (--home), or stop what runs there and move it away first:\n"+
			"  %s\n  mv %[1]s %[1]s.before", r.e.Home, cli.Typed(r.e.Home, "down"))
	}
	entries, err := os.ReadDir(string(r.e.Home))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at the home: %w", err)
	}
	for _, e := range entries {
		if name := e.Name(); !slices.Contains(harmless(), name) {
			return fmt.Errorf("%s holds something already (%s): restore into an empty folder, which --home names", r.e.Home, name)
		}
	}
	return nil
}

// harmless are folders that may be in a home that is empty: of a disk, and of services that
// were to run in it.
func harmless() []string { return []string{"lost+found", "logs", "run", app.PartialRestore} }

// takeBack takes what a restore that was cut short had put in place, so that it is looked
// at again. Where it was one without keys, certs/ is a new authority that nobody has used,
// and the old certificates are apart; this one may have keys.
func (r *restoring) takeBack() error {
	if _, err := os.Stat(r.e.Home.Path(beforeFolder)); err == nil {
		if err := os.RemoveAll(r.e.Home.Certs()); err != nil {
			return fmt.Errorf("go on with the restore: %w", err)
		}
		if err := os.Rename(r.e.Home.Path(beforeFolder), r.e.Home.Certs()); err != nil {
			return fmt.Errorf("go on with the restore: %w", err)
		}
	}
	for _, name := range folders() {
		from, to := r.e.Home.Path(name), r.stage.Path(name)
		if _, err := os.Stat(from); err != nil {
			continue
		}
		if _, err := os.Stat(to); err == nil {
			return fmt.Errorf("%s has a folder %s that is none of the restore that was cut short: move it away", r.e.Home, name)
		}
		if err := os.Rename(from, to); err != nil {
			return fmt.Errorf("go on with the restore: %w", err)
		}
	}
	return r.sweep()
}

// sweep removes from the folder of the restore what the backup has not: journals of a
// database that is written again, keys, a new authority.
func (r *restoring) sweep() error {
	wanted := map[string]bool{idFile: true, lockFile: true}
	for i := range r.m.Files {
		wanted[r.m.Files[i].Path] = true
	}
	err := filepath.WalkDir(string(r.stage), func(at string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(string(r.stage), at)
		if err != nil || wanted[filepath.ToSlash(rel)] {
			return err
		}
		return os.Remove(at) //nolint:gosec // the stage is of this user alone, and locked
	})
	if err != nil {
		return fmt.Errorf("go on with the restore: %w", err)
	}
	return nil
}

// clear empties the folder of the restore, but for the lock, which unlock removes. What says
// whose folder it is goes last.
func (r *restoring) clear() error {
	entries, err := os.ReadDir(string(r.stage))
	if err != nil {
		return fmt.Errorf("empty the folder of the restore: %w", err)
	}
	for _, e := range entries {
		if name := e.Name(); name == idFile || name == lockFile {
			continue
		}
		if err := os.RemoveAll(r.stage.Path(e.Name())); err != nil {
			return fmt.Errorf("empty the folder of the restore: %w", err)
		}
	}
	if err := os.Remove(r.stage.Path(idFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("empty the folder of the restore: %w", err)
	}
	return nil
}

// openKeys opens the keys before anything is written.
func (r *restoring) openKeys(ctx context.Context) error {
	if r.o.Sealing == nil {
		return nil
	}
	if r.m.Keys == "" {
		return fmt.Errorf("backup %s was made without keys: restore it without --with-keys; hosts then enrol again", r.m.ID)
	}
	sealed, err := backup.ReadFile(ctx, r.place, r.m.Find(r.m.Keys), backup.MaxKeysBytes)
	if err != nil {
		return err //nolint:wrapcheck // it says all
	}
	r.keys, err = r.o.Sealing.Unseal(sealed)
	return err //nolint:wrapcheck // it says all
}

// mark notes which backup the folder is of, by which nobody starts in the home any more, and
// looks once more whether somebody has.
func (r *restoring) mark() error {
	name := r.stage.Path(idFile)
	_, known := os.Stat(name)
	if err := os.WriteFile(name, []byte(r.m.ID+"\n"), 0o600); err != nil {
		return fmt.Errorf("make the folder of the restore: %w", err)
	}
	if known == nil {
		return nil // so it was before
	}
	if err := r.refuseLiving(); err != nil {
		return errors.Join(err, r.clear())
	}
	return nil
}

// fetch brings all files into the folder of the restore.
func (r *restoring) fetch(ctx context.Context) error {
	if err := r.mark(); err != nil {
		return err
	}
	err := backup.Fetch(ctx, r.place, r.m, string(r.stage), backup.FetchOptions{
		Wanted: func(f *backup.File) bool { return f.Path != r.m.Keys }, Progress: r.o.Progress,
	})
	if errors.Is(err, backup.ErrDamaged) { // nothing of it is to be believed
		return errors.Join(err, r.clear())
	}
	if err != nil {
		return fmt.Errorf("%w\nwhat is here already stays: run the same again", err)
	}
	return backup.WriteKeys(string(r.stage), r.keys) //nolint:wrapcheck // it says all
}

// settle makes of the files a home: its configuration names where they are, and it is
// noted where they come from.
func (r *restoring) settle(ctx context.Context) error {
	for _, dir := range folders() {
		if err := os.MkdirAll(r.stage.Path(dir), 0o700); err != nil {
			return fmt.Errorf("make the home: %w", err)
		}
	}
	if err := r.settlePaths(); err != nil {
		return err
	}
	authority, err := os.ReadFile(r.stage.Path("certs/ca.crt"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the authority of the backup: %w", err)
	}
	restored := app.Restored{
		Snapshot: r.m.ID, From: r.back.Place, Time: r.e.Now().UTC(), Offset: r.m.Log.Next, ReadOnly: r.back.ReadOnly,
		Hub: r.m.Hub, Authority: string(authority),
	}
	if r.o.Force {
		restored.Started = r.e.Now().UTC()
	}
	if err := restored.Write(r.stage); err != nil {
		return err
	}
	return r.listHosts(ctx)
}

// settlePaths has the configuration name where the parts lie, which was elsewhere where it
// named full paths.
func (r *restoring) settlePaths() error {
	staged := homeOf(r.e, r.stage)
	hub, err := app.LoadHubConfig(staged)
	if err != nil {
		return err
	}
	store, err := app.LoadStoreConfig(staged)
	if err != nil {
		return err
	}
	for _, p := range r.m.Parts {
		file, section, key, now := r.stage.StoreConfig(), "store", "path", store.Store.Path
		switch p.Name {
		case partLog:
			file, section, now = r.stage.HubConfig(), "wal", hub.WAL.Path
		case partMetrics:
			section, now = "tsdb", store.TSDB.Path
		case partStore:
		default:
			continue
		}
		if p.Path == "" || filepath.Clean(r.stage.Path(now)) == filepath.Clean(r.stage.Path(p.Path)) {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read the configuration: %w", err)
		}
		if err := backup.WriteFile(file, config.Set(text, config.Edit{Section: section, Key: key, Value: p.Path}), 0o600); err != nil {
			return fmt.Errorf("write the configuration: %w", err)
		}
		r.back.Warnings = append(r.back.Warnings, fmt.Sprintf("%s.%s of %s was %s, and is %s now, below the home", section, key, filepath.Base(file), now, p.Path))
	}
	switch {
	case hub.State.URL == "":
	case r.back.ReadOnly:
		r.back.Warnings = append(r.back.Warnings, "accounts lay in a database that state.url names: for as long as this copy is read-only it has them in data/state.db, and leaves that one alone")
	default:
		r.back.Warnings = append(r.back.Warnings, "accounts lay in a database that state.url names: have an empty one there and run amoskys state import, or set state.url to nothing")
	}
	return nil
}

// listHosts lists who must enrol again.
func (r *restoring) listHosts(ctx context.Context) (err error) {
	file := r.stage.State()
	if _, err := os.Stat(file); !r.back.ReadOnly || err != nil {
		return nil //nolint:nilerr // there is none to ask
	}
	db, err := state.Open(ctx, state.Options{File: file})
	if err != nil {
		return err //nolint:wrapcheck // it says all
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	hosts, err := db.Hosts(ctx)
	for _, h := range hosts {
		r.back.Enrol = append(r.back.Enrol, h.Name)
	}
	return err //nolint:wrapcheck // it says all
}

// authorityFolder is where in the folder of the restore a new authority is made, where keys
// are not restored.
const authorityFolder = "certs.new"

// putInPlace moves what is whole to where it belongs, the data last: without them it is no
// home that somebody would start.
func (r *restoring) putInPlace(context.Context) error {
	moves := [][2]string{}
	for _, name := range folders() {
		if name == "certs" && r.back.ReadOnly {
			moves = append(moves, [2]string{"certs", beforeFolder}, [2]string{authorityFolder, "certs"})
			continue
		}
		moves = append(moves, [2]string{name, name})
	}
	for _, m := range moves {
		if err := os.Rename(r.stage.Path(m[0]), r.e.Home.Path(m[1])); err != nil {
			return fmt.Errorf("put %s in place: %w", m[1], err)
		}
		if err := r.cutAt(m[1]); err != nil {
			return err
		}
	}
	return nil
}

// end removes the folder of the restore, by which one that was cut short is known.
func (r *restoring) end(context.Context) error {
	if err := r.e.Home.Ensure(); err != nil {
		return err //nolint:wrapcheck // it says all
	}
	if err := (vfs.OS{}).SyncDir(string(r.e.Home)); err != nil { // what is in place stays so
		return fmt.Errorf("end the restore: %w", err)
	}
	if err := r.clear(); err != nil {
		return fmt.Errorf("end the restore: %w", err)
	}
	if err := (vfs.OS{}).SyncDir(string(r.e.Home)); err != nil {
		return fmt.Errorf("end the restore: %w", err)
	}
	return nil
}

// newAuthority makes certificates, as up would, where the old keys are not restored.
func (r *restoring) newAuthority(context.Context) error {
	if !r.back.ReadOnly {
		return nil
	}
	_, err := identity.EnsureLayout(r.stage.Path(authorityFolder), identity.LayoutOptions{Now: r.e.Now, Observes: endpoint.Observing()})
	return err //nolint:wrapcheck // it says all
}

// Writable has a home that was restored without keys take events.
func Writable(e *cli.Env) error {
	r, err := app.ReadRestored(e.Home)
	if err != nil {
		return err
	}
	if r == nil || !r.ReadOnly {
		return fmt.Errorf("%s takes events: it was not restored, or with its keys", e.Home)
	}
	r.ReadOnly = false
	return r.Write(e.Home)
}
