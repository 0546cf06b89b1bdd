package backups

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/backup"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/hub/audit"
	"github.com/amoskys/amoskys/internal/hub/backups"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Options say how a backup is made.
type Options struct {
	To   string // a folder, or s3://BUCKET/PREFIX
	Keep int    // how many backups stay there; 0 for all
	Rate int64  // bytes read a second; 0 for as fast as it goes
	// Sealing is for whom the private keys are sealed; nil leaves them out.
	Sealing  *backup.Sealing
	Progress func(done, total int64)
}

// Made is what `amoskys backup --json` prints.
type Made struct {
	ID       string         `json:"id"`
	Place    string         `json:"place"`
	Time     time.Time      `json:"time"`
	Offset   uint64         `json:"offset"` // the log reaches up to here in it
	Files    int            `json:"files"`
	Bytes    int64          `json:"bytes"`
	Sent     int64          `json:"sent_bytes"`
	Seconds  float64        `json:"seconds"`
	WithKeys bool           `json:"with_keys"`
	Parts    []backup.Part  `json:"parts"`
	Pruned   *backup.Pruned `json:"pruned,omitempty"`
	Warnings []string       `json:"warnings,omitempty"`
	took     time.Duration
}

// Create makes a backup of e.Home, whatever of it runs, and notes it in the state and the
// audit trail.
func Create(ctx context.Context, e *cli.Env, o Options) (*Made, error) {
	if err := refuseInside(e.Home, o.To); err != nil {
		return nil, err
	}
	place, err := backup.Open(ctx, o.To, e.Lookup, true)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says all
	}
	made := &Made{ID: backup.NextID(ctx, place, e.Now()), Place: place.String(), Time: e.Now().UTC(), WithKeys: o.Sealing != nil}
	err = create(ctx, e, place, o, made)
	if noted := note(context.WithoutCancel(ctx), e, made, err); noted != nil {
		if err != nil {
			return nil, err
		}
		made.Warnings = append(made.Warnings, fmt.Sprintf("the backup is whole, but it could not be noted that it was made: %v", noted))
	}
	if err != nil {
		return nil, err
	}
	if o.Keep > 0 {
		pruned, err := backup.Prune(ctx, place, o.Keep, e.Now())
		if err != nil {
			made.Warnings = append(made.Warnings, fmt.Sprintf("the backup is whole, but older ones could not be pruned: %v", err))
		} else {
			made.Pruned = &pruned
		}
	}
	return made, nil
}

// refuseInside refuses a place below the home: it would be lost with it.
func refuseInside(home config.Home, to string) error {
	if strings.Contains(to, "://") {
		return nil
	}
	root, err := filepath.Abs(string(home))
	if err != nil {
		return fmt.Errorf("find the home: %w", err)
	}
	place, err := filepath.Abs(to)
	if err != nil {
		return fmt.Errorf("find the folder of backups: %w", err)
	}
	rel, err := filepath.Rel(resolved(root), farthest(place))
	if err == nil && filepath.IsLocal(rel) {
		return fmt.Errorf("%s lies in the home that is backed up, and would be lost with it: name a folder elsewhere, better of another disk or machine", to)
	}
	return nil
}

// farthest is where a folder lies whose end may not be there yet.
func farthest(folder string) string {
	rest := ""
	for at := folder; ; at = filepath.Dir(at) {
		if to, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(to, rest)
		}
		if at == filepath.Dir(at) {
			return folder
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
}

// create gathers and saves.
func create(ctx context.Context, e *cli.Env, place backup.Place, o Options, made *Made) (err error) {
	began := e.Now()
	g, err := gather(ctx, e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	host, _ := os.Hostname()
	m := &backup.Manifest{
		Format: backup.Format, ID: made.ID, Time: made.Time, Host: host, Version: obs.ReadBuild().Version,
		Log: g.log, Parts: g.parts, Hub: g.hubAddresses(),
	}
	if o.Sealing != nil {
		sealed, err := o.Sealing.Seal(g.keys)
		if err != nil {
			return err //nolint:wrapcheck // it says all
		}
		m.Keys = backup.KeysPath
		g.addBytes(backup.KeysPath, 0o600, sealed)
	}
	saved, err := backup.Save(ctx, place, m, g.sources, backup.SaveOptions{Rate: o.Rate, Progress: o.Progress, Now: e.Now})
	if err != nil {
		return err //nolint:wrapcheck // it says all
	}
	made.Offset, made.Parts = g.log.Next, g.parts
	made.Files, made.Bytes, made.Sent, made.took = saved.Files, saved.Bytes, saved.Sent, e.Now().Sub(began)
	made.Seconds = made.took.Seconds()
	for _, p := range g.parts {
		if p.Missing != "" {
			made.Warnings = append(made.Warnings, missing(p))
		}
	}
	return nil
}

// missing says that a part is not in a backup, or not whole.
func missing(p backup.Part) string {
	if p.Name == partLog {
		return fmt.Sprintf("the log is in the backup, but %s: amoskys wal verify says more", p.Missing)
	}
	return fmt.Sprintf("%s is not in the backup: %s", p.Name, p.Missing)
}

// note tells the hub what became of a backup, or writes it where a hub would that does not
// run.
func note(ctx context.Context, e *cli.Env, made *Made, failed error) error {
	b := &pb.Backup{
		Id: made.ID, Place: made.Place, Time: timestamppb.New(made.Time), Bytes: uint64(made.Bytes), SentBytes: uint64(made.Sent),
		Offset: made.Offset, WithKeys: made.WithKeys, Took: durationpb.New(made.took),
	}
	failure := ""
	if failed != nil {
		failure = failed.Error()
	}
	err := noteByHub(ctx, e, b, failure)
	if !errors.Is(err, remote.ErrNotRunning) {
		return err
	}
	if e.Home.Check() != nil {
		return nil // there is nothing to note it in
	}
	return noteAtRest(ctx, e, b, failure)
}

func noteByHub(ctx context.Context, e *cli.Env, b *pb.Backup, failure string) error {
	c, err := remote.Dial(e, "")
	if err != nil {
		return errors.Join(remote.ErrNotRunning, err)
	}
	defer func() { _ = c.Close() }() // nothing more is asked
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, err = c.Backups.NoteBackup(ctx, &pb.NoteBackupRequest{Backup: b, Failure: failure})
	return c.Explain(err)
}

// noteAtRest writes what the hub would.
func noteAtRest(ctx context.Context, e *cli.Env, b *pb.Backup, failure string) error {
	cfg, err := app.LoadHubConfig(e)
	if err != nil {
		return err
	}
	db, err := app.OpenState(ctx, e.Home, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // what was written is durable
	if failure == "" {
		if err := db.PutBackup(ctx, backups.Stored(b)); err != nil {
			return err //nolint:wrapcheck // it says all
		}
	}
	audit.New(audit.Options{Store: db, Logger: e.Logger}).Audit(ctx, backups.Act(actor(), b, failure))
	return nil
}

// actor names who runs the command, for the audit trail.
func actor() string {
	u, err := user.Current()
	if err != nil {
		return "cli"
	}
	return "cli:" + u.Username
}

// Listed is a backup as `amoskys backup list` shows it.
type Listed struct {
	ID       string    `json:"id"`
	Time     time.Time `json:"time"`
	Host     string    `json:"host"`
	Version  string    `json:"version"`
	Offset   uint64    `json:"offset"`
	Files    int       `json:"files"`
	Bytes    int64     `json:"bytes"`
	WithKeys bool      `json:"with_keys"`
	Error    string    `json:"error,omitempty"` // why it cannot be restored
}

// List lists the backups in a place, the newest first.
func List(ctx context.Context, e *cli.Env, where string) ([]Listed, error) {
	place, err := backup.Open(ctx, where, e.Lookup, false)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says all
	}
	ids, err := backup.Snapshots(ctx, place)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says all
	}
	out := make([]Listed, 0, len(ids))
	for _, id := range slices.Backward(ids) {
		one := Listed{ID: id}
		m, err := backup.Load(ctx, place, id)
		if err != nil {
			one.Error = err.Error()
		} else {
			one.Time, one.Host, one.Version, one.Offset = m.Time, m.Host, m.Version, m.Log.Next
			one.Files, one.Bytes, one.WithKeys = len(m.Files), m.Bytes(), m.Keys != ""
		}
		out = append(out, one)
	}
	return out, nil
}

// Prune removes all but the newest backups in a place.
func Prune(ctx context.Context, e *cli.Env, where string, keep int) (backup.Pruned, error) {
	place, err := backup.Open(ctx, where, e.Lookup, false)
	if err != nil {
		return backup.Pruned{}, err //nolint:wrapcheck // it says all
	}
	return backup.Prune(ctx, place, keep, e.Now()) //nolint:wrapcheck // it says all
}
