package state_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/amoskys/amoskys/internal/state"
	"github.com/amoskys/amoskys/internal/state/postgrestest"
)

// opener opens one database, the same each time.
type opener func(t *testing.T) *state.DB

// each runs a test on a file of SQLite and on a database of PostgreSQL.
func each(t *testing.T, test func(t *testing.T, open opener)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "state.db")
		test(t, func(t *testing.T) *state.DB { t.Helper(); return open(t, file) })
	})
	t.Run("postgresql", func(t *testing.T) {
		url := shared.Database(t)
		test(t, func(t *testing.T) *state.DB { t.Helper(); return openURL(t, url) })
	})
}

func openURL(t *testing.T, url string) *state.DB {
	t.Helper()
	db, err := state.Open(t.Context(), state.Options{URL: url, Now: func() time.Time { return epoch }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// server is a PostgreSQL server of the tests' own.
type server = postgrestest.Server

// shared is the one of all tests that do not stop it.
var shared server

// run runs one statement.
func run(t *testing.T, url, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err == nil {
		_, err = db.ExecContext(t.Context(), statement)
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestPostgresGoesAway: whoever asks while the server is away, slow or read-only is told
// so, without the password, and is served again when it is back.
func TestPostgresGoesAway(t *testing.T) {
	var own server
	t.Cleanup(own.End)
	url := own.Database(t) + "&statement_timeout=200"
	db := openURL(t, url)
	explained := func(what, want string, err error) {
		t.Helper()
		if text := state.Explain(err); err == nil || !strings.Contains(text, want) {
			t.Errorf("%s: %v is explained as %q", what, err, text)
		}
	}
	mark := func() error { return db.AppendAudit(t.Context(), state.Audit{Actor: "a\x00b\xff"}) }
	if err := mark(); err != nil {
		t.Fatal(err)
	}
	locked, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer locked.Close()
	tx, err := locked.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "LOCK TABLE audit"); err != nil {
		t.Fatal(err)
	}
	explained("slow", "does not answer", mark())
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	_ = locked.Close()
	own.Stop()
	explained("away", "does not answer", mark())
	watched(t, db, "does not answer")
	if _, err := state.Open(t.Context(), state.Options{URL: strings.Replace(url, "user=postgres", "user=postgres&password=hunter2", 1)}); err == nil ||
		!strings.Contains(err.Error(), "does not answer: start it, or mend state.url") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("opened while it is away: %v", err)
	}
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	if err := mark(); err != nil { // by a connection that is dead
		t.Logf("the first after it is back: %v", err)
	}
	if err := mark(); err != nil {
		t.Errorf("after it is back: %v", err)
	}
	run(t, own.URL(), "ALTER DATABASE postgres SET default_transaction_read_only = on")
	run(t, own.URL(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'amoskys hub'")
	_, _ = db.Users(t.Context()) // by a connection that is dead
	explained("read-only", "read-only", mark())
	watched(t, db, "is read-only")
	if _, err := state.Open(t.Context(), state.Options{URL: url}); err == nil || !strings.Contains(err.Error(), "is read-only: name the server") {
		t.Errorf("opened while it is read-only: %v", err)
	}
	writable := url + "&default_transaction_read_only=off"
	run(t, writable, "UPDATE amoskys_tables SET version = 1000")
	if _, err := state.Open(t.Context(), state.Options{URL: writable}); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("tables of a newer version: %v", err)
	}
}

// watched waits until the watch of a database says a fault.
func watched(t *testing.T, db *state.DB, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- db.Watch(ctx) }()
	for !strings.Contains(db.Fault(), want) && ctx.Err() == nil {
		runtime.Gosched()
	}
	if !strings.Contains(db.Fault(), want) {
		t.Errorf("the watch says %q, want %q", db.Fault(), want)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestBadURL: what is no URL of PostgreSQL is refused without showing it.
func TestBadURL(t *testing.T) {
	for _, url := range []string{"mysql://u:hunter2@h/d", "hunter2", "postgres://u:hunter2@h:port/d", "postgres://u:hunter2@h/d?sslmode=hunter2", "postgres://%zz:hunter2@h", "file:///hunter2"} {
		_, err := state.Open(t.Context(), state.Options{URL: url})
		if err == nil || !strings.Contains(err.Error(), "want postgres://") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
	_, err := state.Open(t.Context(), state.Options{URL: "postgres://u:hunter2@h/d?sslmode=verify-full&sslrootcert=/nowhere/ca.crt"})
	if err == nil || !strings.Contains(err.Error(), "/nowhere/ca.crt") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("an authority that is not there: %v", err)
	}
}

// TestCopy moves all state to PostgreSQL and back, and goes on there.
func TestCopy(t *testing.T) {
	first := open(t, filepath.Join(t.TempDir(), "state.db"))
	fill(t, first)
	server := openURL(t, shared.Database(t))
	last := open(t, filepath.Join(t.TempDir(), "state.db"))
	for _, way := range []struct{ from, to *state.DB }{{first, server}, {server, last}} {
		done, err := state.Copy(t.Context(), way.to, way.from)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range done {
			if c.Rows != 1 {
				t.Errorf("%d rows of %s", c.Rows, c.Table)
			}
		}
		if want, got := dump(t, way.from), dump(t, way.to); want != got {
			t.Errorf("copied\n%s\nas\n%s", want, got)
		}
		if _, err := state.Copy(t.Context(), way.to, way.from); !errors.Is(err, state.ErrNotEmpty) {
			t.Errorf("copied over something: %v", err)
		}
	}
	for _, db := range []*state.DB{server, last} {
		if err := db.AppendAudit(t.Context(), state.Audit{Actor: "next"}); err != nil {
			t.Errorf("the next row: %v", err)
		}
	}
}

// TestCopyTakesItsTime: a copy neither waits for the hub that uses the database, nor is cut
// short as a hub's statements are.
func TestCopyTakesItsTime(t *testing.T) {
	first := open(t, filepath.Join(t.TempDir(), "state.db"))
	fill(t, first)
	if err := first.PutAgents(t.Context(), []state.Agent{{Host: "h", ID: "without status"}}); err != nil {
		t.Fatal(err)
	}
	url := shared.Database(t) + "&statement_timeout=200&idle_in_transaction_session_timeout=200"
	server := openURL(t, url)
	run(t, url, `CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END $$;
		CREATE TRIGGER dawdle BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION dawdle()`)
	if _, err := state.Copy(t.Context(), server, first); err != nil {
		t.Fatalf("to a slow server: %v", err)
	}
	hub, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer hub.Close()
	tx, err := hub.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(t.Context(), "SELECT pg_advisory_xact_lock($1)", int64(0x616d6f736b7973)); err != nil {
		t.Fatal(err)
	}
	last := open(t, filepath.Join(t.TempDir(), "state.db"))
	if _, err := state.Copy(t.Context(), last, server); err != nil {
		t.Errorf("while a hub changes something: %v", err)
	}
}

// fill puts one row into each table.
func fill(t *testing.T, db *state.DB) {
	t.Helper()
	ctx := t.Context()
	limits := state.SavedLimits{OfOwner: 9, Shared: 9}
	_, saved := db.CreateSavedQuery(ctx, state.SavedQuery{Owner: "ada", Name: "q", Query: "*", Columns: []string{"a", "b"}, Shared: true, Created: epoch, Changed: epoch}, limits)
	_, marked := db.ChangeDeviceMarks(ctx, []string{"uid"}, state.MarkLimits{Devices: 9, Bytes: 1 << 20}, func(m state.DeviceMark) (state.DeviceMark, error) {
		m.Known, m.Tags = true, []string{"x", "y"}
		return m, nil
	})
	for _, err := range []error{
		db.CreateUser(ctx, state.User{Name: "ada", Role: state.RoleAdmin, PasswordHash: "h"}),
		db.CreateSession(ctx, state.Session{User: "ada", Created: epoch, LastSeen: epoch, Expires: epoch.Add(time.Hour)}),
		db.AppendAudit(ctx, state.Audit{Actor: "ada", Success: true}),
		db.PutAgents(ctx, []state.Agent{{Host: "h", ID: "proc", Status: []byte{1, 0, 255}}}),
		db.CreateToken(ctx, someToken(1)),
		db.AddCertificates(ctx, state.Certificate{Serial: "a1", Identity: "spiffe://x", Origin: state.OriginEnrolment, NotAfter: epoch.Add(time.Hour)}),
		db.Revoke(ctx, state.Revocation{Target: "serial:a1", Time: epoch}),
		db.PutHosts(ctx, []state.Host{{Name: "h", LastSeen: epoch, Silent: true}}),
		db.PutBackup(ctx, state.Backup{ID: "b", Place: "p", Time: epoch, WithKeys: true}),
		saved, marked,
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// dump tells all that a database holds.
func dump(t *testing.T, db *state.DB) string {
	t.Helper()
	ctx := t.Context()
	var b strings.Builder
	put := func(list any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%+v\n", list)
	}
	last, err := db.LastBackup(ctx)
	put(last, err)
	users, err := db.Users(ctx)
	put(users, err)
	session, _, err := db.Session(ctx, [32]byte{})
	put(session, err)
	trail, err := db.AuditTrail(ctx, 0, 10)
	put(trail, err)
	agents, err := db.Agents(ctx)
	put(agents, err)
	tokens, err := db.Tokens(ctx)
	put(tokens, err)
	certificates, err := db.Certificates(ctx, "", epoch, 10)
	put(certificates, err)
	revocations, err := db.Revocations(ctx)
	put(revocations, err)
	hosts, err := db.Hosts(ctx)
	put(hosts, err)
	queries, err := db.SavedQueries(ctx, "ada", true)
	put(queries, err)
	marks, err := db.DeviceMarks(ctx)
	put(marks, err)
	return b.String()
}
