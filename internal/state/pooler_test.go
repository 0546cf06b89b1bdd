package state_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/state"
	"github.com/amoskys/amoskys/internal/state/postgrestest"
)

// TestPooler: PgBouncer, which gives each transaction any connection of the server and
// takes no settings of a session, may stand between us and PostgreSQL.
func TestPooler(t *testing.T) {
	t.Parallel()
	const program = "/usr/sbin/pgbouncer"
	if _, err := os.Stat(program); err != nil {
		t.Skip("PgBouncer is not installed (Debian: pgbouncer)")
	}
	var own server
	t.Cleanup(own.End)
	own.Database(t) // begins it, or skips
	ini := filepath.Join(own.Dir, "pgbouncer.ini")
	text := fmt.Sprintf(`[databases]
postgres = host=%[1]s user=postgres
[pgbouncer]
listen_addr =
unix_socket_dir = %[1]s
listen_port = 6432
auth_type = any
pool_mode = transaction
default_pool_size = 3
`, own.Dir)
	if err := os.WriteFile(ini, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	pooler := exec.CommandContext(t.Context(), program, ini)
	pooler.SysProcAttr = own.As
	ready := postgrestest.NewAwaited("process up")
	pooler.Stderr = ready
	pooler.Cancel = func() error { return pooler.Process.Signal(syscall.SIGKILL) }
	if err := pooler.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = pooler.Process.Kill()
		_ = pooler.Wait()
	})
	select {
	case <-ready.Seen:
	case <-time.After(20 * time.Second):
		t.Fatalf("PgBouncer is not ready: %s", ready.Text())
	}
	db, err := state.Open(t.Context(), state.Options{URL: "postgres:///postgres?user=postgres&port=6432&host=" + own.Dir, Now: func() time.Time { return epoch }})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tok := someToken(1)
	tok.Uses = 40
	if err := db.CreateToken(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	for n := range 8 {
		go func() {
			var err error
			for i := 0; i < 5 && err == nil; i++ {
				err = db.Enrol(t.Context(), tok.ID, tok.SecretHash, "web-1", "x", state.Certificate{
					Serial: fmt.Sprintf("%d%d", n, i), Identity: "spiffe://x", Host: "web-1", Origin: state.OriginEnrolment, NotAfter: epoch.Add(time.Hour),
				})
				if err == nil {
					_, err = db.Certificate(t.Context(), fmt.Sprintf("%d%d", n, i))
				}
			}
			done <- err
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got, err := db.Token(t.Context(), tok.ID); err != nil || got.UsedCount != 40 {
		t.Errorf("used %d times, %v", got.UsedCount, err)
	}
}
