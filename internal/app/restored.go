package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/store"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
)

// Restored is data/restored.json: that a home was restored from a backup, and what
// follows from that.
type Restored struct {
	Snapshot string    `json:"snapshot"`
	From     string    `json:"from"` // the place of the backup
	Time     time.Time `json:"time"`
	Offset   uint64    `json:"offset"` // of the log, at which the backup ended
	// ReadOnly says that the home has a new authority, and takes no events until a person
	// wants it to.
	ReadOnly bool `json:"read_only"`
	// Hub is where the hub answered from which the backup was made, and Authority the
	// certificates by which it is known again, in PEM.
	Hub       []string `json:"hub,omitempty"`
	Authority string   `json:"authority,omitempty"`
	// Started is when the hub of this home first ran: from then on it does not look for
	// the other one.
	Started time.Time `json:"started,omitzero"`
}

func restoredFile(home config.Home) string { return home.Path("data/restored.json") }

// ReadRestored returns what is known of the restore that made a home, nil where none did.
func ReadRestored(home config.Home) (*Restored, error) {
	b, err := os.ReadFile(restoredFile(home))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // most homes were not restored, and that is no error
	}
	if err != nil {
		return nil, fmt.Errorf("read whether the home was restored: %w", err)
	}
	r := &Restored{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("read whether the home was restored: %s: %w", restoredFile(home), err)
	}
	return r, nil
}

// Write writes it into a home.
func (r *Restored) Write(home config.Home) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("note that the home was restored: %w", err)
	}
	file := restoredFile(home)
	f, err := os.OpenFile(file+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("note that the home was restored: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(file+".new", file)
	}
	if err == nil {
		err = vfs.OS{}.SyncDir(filepath.Dir(file))
	}
	if err != nil {
		return fmt.Errorf("note that the home was restored: %w", err)
	}
	return nil
}

// PartialRestore is the folder below a home in which a restore gathers what it puts in
// place at the end. While it is there, the home is not whole.
const PartialRestore = "restore.partial"

// PartialRestoreID is the file in it that says of which backup it is. It comes first and
// goes last: a folder without it is one in which nothing was begun, or all is done.
const PartialRestoreID = "id"

// RefusePartial returns an error where a restore into the home was cut short: whoever starts
// in it would begin anew what lacks, and take it for the rest.
func RefusePartial(home config.Home) error {
	if _, err := os.Stat(filepath.Join(home.Path(PartialRestore), PartialRestoreID)); err != nil {
		return nil //nolint:nilerr // there is none
	}
	return fmt.Errorf("a restore into %s was cut short, and the home is not whole: run the same amoskys restore again, which goes on with it", home)
}

// twinPatience is how long the hub from which a backup was made may take to answer.
const twinPatience = 2 * time.Second

// RefuseTwin returns an error where the home was restored, its hub has not run yet, and
// the hub from which it was made still answers: agents would be torn between two of one
// name, and each would have events that the other has not. So it does where a restore was
// cut short, with force as well.
func RefuseTwin(ctx context.Context, home config.Home, force bool) error {
	if err := RefusePartial(home); err != nil {
		return err
	}
	r, err := ReadRestored(home)
	if err != nil || r == nil || force || !r.Started.IsZero() {
		return err
	}
	for _, address := range r.Hub {
		if answersAs(ctx, address, r.Authority) {
			return fmt.Errorf("the hub from which this home was restored (%s of %s) still answers at %s: stop that one first, "+
				"or start this one all the same with --force", r.Snapshot, r.From, address)
		}
	}
	return nil
}

// answersAs reports whether a hub with a certificate of an authority answers.
func answersAs(ctx context.Context, address, authority string) bool {
	ctx, cancel := context.WithTimeout(ctx, twinPatience)
	defer cancel()
	raw, err := dial.Direct(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer func() { _ = raw.Close() }() // nothing was written
	roots, err := identity.ParseCertificates([]byte(authority))
	if err != nil {
		return true // whoever it is, it is where the other one was
	}
	known := false
	conn := tls.Client(raw, &tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, //nolint:gosec // nothing is sent: it is only looked at who answers
		VerifyPeerCertificate: func(chain [][]byte, _ [][]*x509.Certificate) error {
			known = issuedBy(chain, roots)
			return nil
		},
	})
	_ = conn.HandshakeContext(ctx) // it may well refuse us
	return known
}

// issuedBy reports whether the first certificate of a chain was issued by one of roots.
func issuedBy(chain [][]byte, roots []*x509.Certificate) bool {
	if len(chain) == 0 {
		return false
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return false
	}
	for _, root := range roots {
		if leaf.CheckSignatureFrom(root) == nil {
			return true
		}
	}
	return false
}

// NoteStarted notes that the hub of a restored home runs.
func NoteStarted(home config.Home, now time.Time) error {
	r, err := ReadRestored(home)
	if err != nil || r == nil || !r.Started.IsZero() {
		return err
	}
	r.Started = now.UTC()
	return r.Write(home)
}

// shownReason is what people are told of a home that was restored without its keys.
func shownReason(home config.Home) string {
	return "this is a copy restored from a backup without keys, and read-only: it shows what was restored and takes no events; " +
		"to have it take them, run " + cli.Typed(home, "restore --writable") + " and start it again"
}

// restoredConfig is the configuration of the hub of a home that was restored to be looked
// at: nothing of its log becomes too old.
func restoredConfig(cfg hub.Config, r *Restored) hub.Config {
	if r != nil && r.ReadOnly {
		cfg.WAL.RetentionDays, cfg.WAL.RetentionSizeMB, cfg.WAL.MinFreeMB = 0, 0, 0
	}
	return cfg
}

// restoredStore is the same for a store.
func restoredStore(cfg store.Config, r *Restored) store.Config {
	if r != nil && r.ReadOnly {
		const ever = 36500 // days
		cfg.Store.RetentionDays, cfg.Store.RetentionSizeMB, cfg.Store.RetentionByType = ever, 0, nil
		cfg.TSDB.RetentionDays, cfg.TSDB.RetentionSizeMB = ever, 0
		cfg.Store.Writes = false // into clusters that others go on with
	}
	return cfg
}

// openedLog returns the log as a home that was restored to be looked at has it.
func openedLog(log stream.Log, home config.Home, r *Restored) stream.Log {
	if r == nil || !r.ReadOnly {
		return log
	}
	return shownLog{log, shownReason(home)}
}

// shownLog is a log that takes nothing.
type shownLog struct {
	stream.Log

	reason string
}

// Submit implements stream.Log.
func (l shownLog) Submit(*stream.Record, func(stream.Offset, error)) error {
	return fmt.Errorf("%w (%w): %s", stream.ErrShown, stream.ErrReadOnly, l.reason)
}

// Stat implements stream.Log.
func (l shownLog) Stat() stream.Stat {
	s := l.Log.Stat()
	if s.State == stream.StateOK {
		s.State, s.Reason = stream.StateShown, l.reason
	}
	return s
}
