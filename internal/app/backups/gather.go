// Package backups makes and restores backups of an installation: it says which files a
// home is made of, takes them from roles that run, or as they lie there from those that do
// not, and puts them back. Package backup keeps them.
package backups

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/backup"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
	"github.com/amoskys/amoskys/internal/store"
	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/wal"
)

// Names of parts, as manifests have them.
const (
	partLog     = "log"
	partStore   = "store"
	partMetrics = "metrics"
	partDevices = "devices"
	partState   = "state"
	partAgents  = "agents"
)

// Where parts lie below a home, in a snapshot and where the configuration says nothing
// else.
const (
	logPath     = "data/wal"
	storePath   = "data/store"
	metricsPath = "data/metrics"
	devicesPath = "data/devices"
	statePath   = "data/state.db"
	agentsPath  = "data/agents"
	rulesPath   = "rules"
)

// maxSmall bounds files that are read at once. Larger ones are read while they are saved.
const maxSmall = 16 << 20

// gathering is what a snapshot is to be made of, and what holds it together until it is.
type gathering struct {
	e       *cli.Env
	hub     hub.Config
	store   store.Config
	sources []backup.Source
	parts   []backup.Part
	log     backup.LogRange
	keys    []backup.Key
	work    string // a folder for what is made for this alone
	release []func() error
}

// gather takes the snapshot. The order matters: whatever reads the log is taken before
// the log, so that nothing stands behind the end that the log has in it.
func gather(ctx context.Context, e *cli.Env) (g *gathering, err error) {
	if err := e.Home.Check(); err != nil {
		return nil, err
	}
	g = &gathering{e: e}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
			g = nil
		}
	}()
	if g.hub, err = app.LoadHubConfig(e); err != nil {
		return g, err
	}
	if g.store, err = app.LoadStoreConfig(e); err != nil {
		return g, err
	}
	var end func() error
	if g.work, end, err = app.BackupWork(e.Home); err != nil {
		return g, err
	}
	g.release = append(g.release, end)
	for _, take := range []func(context.Context) error{g.takeStore, g.takeDevices, g.takeRules, g.takeLog, g.takeState, g.takeFolders} {
		if err := take(ctx); err != nil {
			return g, err
		}
	}
	return g, nil
}

// close lets go of everything.
func (g *gathering) close() error {
	var errs []error
	for _, f := range slices.Backward(g.release) {
		errs = append(errs, f())
	}
	g.release = nil
	return errors.Join(errs...)
}

// addFile adds a file whose content does not change while the snapshot is held.
func (g *gathering) addFile(to, from string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	g.sources = append(g.sources, backup.Source{
		Path: to, Mode: info.Mode(), Size: info.Size(), Changed: info.ModTime(),
		Open: func() (io.ReadCloser, error) { return openBehind(from) },
	})
	return nil
}

// openBehind opens a file so that reading it leaves nothing in memory that was not there.
func openBehind(name string) (io.ReadCloser, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return &behindFile{ReadCloser: backup.Behind(f, f), file: f}, nil
}

// behindFile closes the file as well.
type behindFile struct {
	io.ReadCloser

	file *os.File
}

// Close implements io.Closer.
func (b *behindFile) Close() error { return errors.Join(b.ReadCloser.Close(), b.file.Close()) }

// segmentReader reads a segment likewise, where it is a file of the system's. The file stays
// open.
func segmentReader(s *wal.SnapshotSegment) io.ReadCloser {
	if f := s.File(); f != nil {
		return backup.Behind(s.Reader(), f)
	}
	return io.NopCloser(s.Reader())
}

// addBytes adds a file that was read already.
func (g *gathering) addBytes(to string, mode fs.FileMode, content []byte) {
	g.sources = append(g.sources, backup.Source{
		Path: to, Mode: mode, Size: int64(len(content)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
	})
}

// addSmall reads a small file and adds it, or has a large one read later, as long as it is
// now. One that is not there, or is no file, is passed.
func (g *gathering) addSmall(to, from string) error {
	info, err := os.Stat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	if info.Size() > maxSmall {
		return g.addOpen(to, from)
	}
	b, err := os.ReadFile(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	if isKey(to, b) { // a configuration may name keys anywhere
		g.keys = append(g.keys, backup.Key{Path: to, Mode: info.Mode().Perm(), Content: b})
		return nil
	}
	g.addBytes(to, info.Mode(), b)
	return nil
}

// isKey reports whether a file holds a private key.
func isKey(name string, content []byte) bool {
	return strings.HasSuffix(name, ".key") || bytes.Contains(content, []byte("PRIVATE KEY"))
}

// resolved is where a folder lies: packages have links for some, such as config, and so have
// people for what lies on another disk. One that is not there stays as it is.
func resolved(folder string) string {
	if to, err := filepath.EvalSymlinks(folder); err == nil {
		return to
	}
	return folder
}

// addTree adds all files below a folder; skip leaves some out, by their path in it.
func (g *gathering) addTree(to, from string, skip func(rel string) bool) error {
	from = resolved(from)
	return filepath.WalkDir(from, func(at string, entry fs.DirEntry, err error) error { //nolint:wrapcheck // it names the file
		if err != nil || at == from {
			return err
		}
		rel, err := filepath.Rel(from, at)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case skip != nil && skip(rel) && entry.IsDir():
			return fs.SkipDir
		case skip != nil && skip(rel), entry.IsDir(), !entry.Type().IsRegular():
			return nil
		}
		return g.addFile(path.Join(to, rel), at)
	})
}

// below is where a configured folder lies below a home; otherwise where it is outside, or
// not among the data.
func below(configured, otherwise string) string {
	p := path.Clean(filepath.ToSlash(configured))
	if filepath.IsLocal(configured) && strings.HasPrefix(p, "data/") {
		return p
	}
	return otherwise
}

// takeLog takes the log, up to what is durable now.
func (g *gathering) takeLog(ctx context.Context) error {
	dir := g.e.Home.Path(g.hub.WAL.Path)
	to := below(g.hub.WAL.Path, logPath)
	until, err := g.durableEnd(ctx, dir)
	if err != nil {
		return err
	}
	s, err := wal.TakeSnapshot(ctx, vfs.OS{}, dir, until)
	if err != nil {
		return err //nolint:wrapcheck // it says all
	}
	g.release = append(g.release, s.Close)
	for i := range s.Segments {
		seg := &s.Segments[i]
		g.sources = append(g.sources, backup.Source{
			Path: path.Join(to, seg.Name), Mode: 0o600, Size: seg.Bytes, Changed: seg.Changed,
			Open: func() (io.ReadCloser, error) { return segmentReader(seg), nil },
		})
	}
	for name, content := range s.Cursors {
		g.addBytes(path.Join(to, wal.CursorFolder, name), 0o600, content)
	}
	g.addBytes(path.Join(to, wal.HeadName), 0o600, s.Head)
	g.addBytes(wal.CopyOfHead(to), 0o600, s.Head)
	g.log = backup.LogRange{First: s.First, Next: s.Next, Chain: s.Chain}
	part := backup.Part{Name: partLog, Path: to, Offset: s.Next}
	if until == endless { // a hub that runs has looked, and put what is missing on record
		gaps, err := gapsOf(ctx, dir)
		if err != nil {
			return err
		}
		if gaps > 0 {
			part.Missing = "events are missing in the middle of it, which no hub has noticed yet"
		}
	}
	g.parts = append(g.parts, part)
	return g.addSmall("data/clock", g.e.Home.Clock())
}

// endless is more than any offset.
const endless = ^uint64(0)

// durableEnd is the durable end of the log, as the hub says; of one that no hub has open,
// which none may open before the backup is done, it is where its records end.
func (g *gathering) durableEnd(ctx context.Context, dir string) (uint64, error) {
	lock, err := wal.Lock(vfs.OS{}, dir)
	held, running := errors.AsType[*vfs.LockedError](err)
	switch {
	case err == nil:
		g.release = append(g.release, lock.Close)
		return endless, nil
	case !running:
		return 0, err //nolint:wrapcheck // it says all
	}
	c, err := remote.Dial(g.e, "")
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }() // nothing more is asked
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s, err := c.Query.Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return 0, fmt.Errorf("process %d has the log open, and the hub does not answer: %w", held.PID, c.Explain(err))
	}
	return s.GetLog().GetNextOffset(), nil
}

// takeDevices takes the inventory of devices: one file, which is replaced whole.
func (g *gathering) takeDevices(context.Context) error {
	before := len(g.sources)
	if err := g.addOpen(devicesPath+"/inventory", g.e.Home.Path(devicesPath+"/inventory")); err != nil {
		return err
	}
	if len(g.sources) > before {
		g.parts = append(g.parts, backup.Part{Name: partDevices, Path: devicesPath})
	}
	return nil
}

// takeRules takes a person's own rules and which alerts were told.
func (g *gathering) takeRules(context.Context) error {
	if err := g.addSmall("data/rules/told", g.e.Home.Path("data/rules/told")); err != nil {
		return err
	}
	if err := g.takeTree(rulesPath, g.e.Home.Path(rulesPath), nil); err != nil {
		return err
	}
	own := g.store.Rules.Path
	first, _, _ := strings.Cut(path.Clean(filepath.ToSlash(own)), "/")
	if own == "" || filepath.IsLocal(own) && (first == rulesPath || first == "config") {
		return nil
	}
	if _, err := os.Stat(g.e.Home.Path(own)); err == nil {
		g.parts = append(g.parts, backup.Part{Name: rulesPath, Missing: "rules.path names " + own + ", which is neither below rules/ nor config/ of the home"})
	}
	return nil
}

// addOpen opens a file and adds what it has now. One that is replaced stays as it is, one
// that grows is as long as it was, and one that shrinks fails the backup. It is read each
// time: whoever writes into it may do so within one tick of its clock.
func (g *gathering) addOpen(to, from string) error {
	f, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	g.release = append(g.release, f.Close)
	info, err := f.Stat()
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	g.sources = append(g.sources, backup.Source{
		Path: to, Mode: info.Mode(), Size: info.Size(),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(f, 0, info.Size())), nil },
	})
	return nil
}

// takeState copies the database of accounts, agents and the audit trail.
func (g *gathering) takeState(ctx context.Context) error {
	to := filepath.Join(g.work, "state.db")
	if g.hub.State.URL == "" {
		if _, err := os.Stat(g.e.Home.State()); errors.Is(err, fs.ErrNotExist) {
			g.parts = append(g.parts, backup.Part{Name: partState, Missing: "there is none"})
			return nil
		}
		if err := state.CopyFile(ctx, to, g.e.Home.State()); err != nil {
			return err //nolint:wrapcheck // it says all
		}
	} else if err := g.exportState(ctx, to); err != nil {
		return err
	}
	g.parts = append(g.parts, backup.Part{Name: partState, Path: statePath})
	b, err := os.ReadFile(to)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	g.addBytes(statePath, 0o600, b)
	return nil
}

// exportState copies what lies in a server.
func (g *gathering) exportState(ctx context.Context, to string) (err error) {
	server, err := app.OpenState(ctx, g.e.Home, g.hub)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	file, err := state.Open(ctx, state.Options{File: to})
	if err != nil {
		return err //nolint:wrapcheck // it says all
	}
	_, err = state.Copy(ctx, file, server)
	return errors.Join(err, file.Close())
}

// takeFolders takes configuration, certificates, and what nodes and agents keep.
func (g *gathering) takeFolders(context.Context) error {
	if err := g.takeCerts(); err != nil {
		return err
	}
	if err := g.takeTree("config", g.e.Home.Config(), nil); err != nil {
		return err
	}
	if err := g.addSmall("data/node.json", g.e.Home.Path("data/node.json")); err != nil {
		return err
	}
	before := len(g.sources)
	packets := func(name string) bool { return strings.Contains(path.Ext(name), "pcap") }
	if err := g.takeTree(agentsPath, g.e.Home.Path(agentsPath), packets); err != nil {
		return err
	}
	if len(g.sources) > before {
		g.parts = append(g.parts, backup.Part{Name: partAgents, Path: agentsPath})
	}
	return nil
}

// takeTree reads the small files below a folder; one that is not there has none.
func (g *gathering) takeTree(to, from string, skip func(name string) bool) error {
	from = resolved(from)
	err := filepath.WalkDir(from, func(at string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !entry.Type().IsRegular() && entry.Type()&fs.ModeSymlink == 0 || skip != nil && skip(entry.Name()) {
			return err // what a link to a file leads to becomes the file
		}
		rel, err := filepath.Rel(from, at)
		if err != nil {
			return err
		}
		return g.addSmall(path.Join(to, filepath.ToSlash(rel)), at)
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", from, err)
	}
	return nil
}

// hubAddresses are where the hub answers, by the names in its certificate.
func (g *gathering) hubAddresses() []string {
	port := strconv.Itoa(g.hub.Server.Port)
	b, err := os.ReadFile(g.hub.Files(g.e.Home).Cert)
	if err != nil {
		return nil
	}
	certs, err := identity.ParseCertificates(b)
	if err != nil || len(certs) == 0 {
		return nil
	}
	var out []string
	for _, name := range certs[0].DNSNames {
		out = append(out, net.JoinHostPort(name, port))
	}
	for _, ip := range certs[0].IPAddresses {
		out = append(out, net.JoinHostPort(ip.String(), port))
	}
	return out[:min(len(out), maxAddresses)]
}

// maxAddresses bounds where a hub is looked for.
const maxAddresses = 32

// askTimeout is how long roles may take for an answer.
const askTimeout = 10 * time.Second

// homeOf is a home for its configuration alone.
func homeOf(e *cli.Env, home config.Home) *cli.Env {
	other := *e
	other.Home = home
	return &other
}
