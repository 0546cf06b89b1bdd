// Package postgrestest gives tests a real server of PostgreSQL, Debian's, on a socket in a
// folder of its own.
package postgrestest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// Server is a server of PostgreSQL. The zero value is one that is made when it is first
// asked for a database; who has it calls End.
type Server struct {
	Dir string               // where it is, with its socket
	As  *syscall.SysProcAttr // as whom it runs, and other programs in Dir

	cmd    *exec.Cmd
	once   sync.Once
	reason string // why there is none
	made   int
}

// Database makes an empty schema and returns its URL.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	if testing.Short() {
		tb.Skip("-short: PostgreSQL is not started")
	}
	s.once.Do(s.begin)
	if s.reason != "" {
		tb.Skip(s.reason)
	}
	s.made++
	schema := fmt.Sprint("state", s.made)
	run(tb, s.URL(), "CREATE SCHEMA "+schema) // which is quicker than a database
	return s.URL() + "&search_path=" + schema
}

// URL is that of the server's own database.
func (s *Server) URL() string { return "postgres:///postgres?user=postgres&host=" + s.Dir }

// run runs one statement.
func run(tb testing.TB, url, statement string) {
	tb.Helper()
	db, err := sql.Open("pgx", url)
	if err == nil {
		_, err = db.ExecContext(tb.Context(), statement)
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// begin makes and starts the server, as the user postgres where we are root, which
// PostgreSQL refuses to run as.
func (s *Server) begin() {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		s.reason = "PostgreSQL is not installed (Debian: postgresql)"
		return
	}
	var err error
	if s.Dir, err = os.MkdirTemp("", "pg"); err != nil {
		s.reason = err.Error()
		return
	}
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			s.reason = err.Error()
			return
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		s.As = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		if err := os.Chown(s.Dir, int(uid), int(gid)); err != nil {
			s.reason = err.Error()
			return
		}
	}
	init := s.command(found[0], "-N", "-A", "trust", "-U", "postgres", "-D", filepath.Join(s.Dir, "data"))
	if out, err := init.CombinedOutput(); err != nil {
		s.reason = fmt.Sprintf("initdb: %v: %s", err, out)
		return
	}
	if err := s.Start(); err != nil {
		s.reason = err.Error()
	}
}

func (s *Server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), program, args...) //nolint:gosec // one of PostgreSQL's own
	cmd.Dir, cmd.SysProcAttr = s.Dir, s.As
	return cmd
}

// Start starts the server and waits until it says that it is ready.
func (s *Server) Start() error {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	s.cmd = s.command(found[0], "-D", filepath.Join(s.Dir, "data"), "-k", s.Dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "logging_collector=off")
	ready := NewAwaited("ready to accept connections")
	s.cmd.Stderr = ready
	if err := s.cmd.Start(); err != nil {
		return err
	}
	select {
	case <-ready.Seen:
		return nil
	case <-time.After(30 * time.Second):
		return fmt.Errorf("PostgreSQL is not ready: %s", ready.Text())
	}
}

// Stop ends the server without waiting for its clients.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGINT)
	_ = s.cmd.Wait()
	s.cmd = nil
}

// End stops it and removes what it had.
func (s *Server) End() {
	s.Stop()
	if s.Dir != "" {
		_ = os.RemoveAll(s.Dir)
	}
}

// Awaited closes Seen once a text was written to it.
type Awaited struct {
	Seen chan struct{}

	awaited []byte
	text    bytes.Buffer
	done    bool
}

// NewAwaited waits for a text.
func NewAwaited(text string) *Awaited {
	return &Awaited{awaited: []byte(text), Seen: make(chan struct{})}
}

// Text is what was written until then, once nobody writes.
func (w *Awaited) Text() string { return w.text.String() }

// Write implements io.Writer, for one goroutine.
func (w *Awaited) Write(b []byte) (int, error) {
	if !w.done {
		w.text.Write(b)
		if bytes.Contains(w.text.Bytes(), w.awaited) {
			w.done = true
			close(w.Seen)
		}
	}
	return len(b), nil
}
