package state_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/state"
	"github.com/amoskys/amoskys/internal/state/password"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// suite ends the server of the tests with them.
type suite struct{ *testing.M }

// Run is that of testing.M.
func (s suite) Run() int {
	defer shared.End()
	return s.M.Run()
}

func cheap() *password.Hasher {
	return password.New(password.Params{MemoryKiB: 64, Passes: 1, Lanes: 1}, 2)
}

var epoch = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, file string) *state.DB {
	t.Helper()
	db, err := state.Open(t.Context(), state.Options{File: file, Now: func() time.Time { return epoch }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestOpenIsPrivateAndRepeatable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a folder?", "state.db")
	db := open(t, file)
	if _, created, err := db.EnsureAdmin(t.Context(), cheap()); err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	for _, name := range []string{file, file + "-wal"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, file)
	if _, err := again.User(t.Context(), state.AdminName); err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("not a database. ", 600)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{"garbage": garbage, "folder": dir} {
		if db, err := state.Open(t.Context(), state.Options{File: file}); err == nil {
			db.Close()
			t.Errorf("%s: opened", name)
		}
	}
}

func TestEnsureAdminOnceAmongMany(t *testing.T) { each(t, testEnsureAdminOnceAmongMany) }

func testEnsureAdminOnceAmongMany(t *testing.T, open opener) {
	db := open(t)
	other := open(t)
	hasher := cheap()
	var mu sync.Mutex
	var passwords []string
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			use := db
			if i%2 == 1 {
				use = other
			}
			plain, created, err := use.EnsureAdmin(context.WithoutCancel(t.Context()), hasher)
			if err != nil {
				t.Error(err)
			}
			if created {
				mu.Lock()
				passwords = append(passwords, plain)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(passwords) != 1 {
		t.Fatalf("%d admins were made", len(passwords))
	}
	u, err := db.User(t.Context(), state.AdminName)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := hasher.Verify(t.Context(), u.PasswordHash, passwords[0]); !ok || err != nil {
		t.Errorf("printed password does not open the account: %v", err)
	}
	if len(passwords[0]) < 20 || u.Role != state.RoleAdmin {
		t.Errorf("password of %d characters, role %s", len(passwords[0]), u.Role)
	}
}

func TestUsers(t *testing.T) { each(t, testUsers) }

func testUsers(t *testing.T, open opener) {
	db := open(t)
	want := state.User{Name: "ada", Role: state.RoleAnalyst, PasswordHash: "h", Created: epoch}
	if err := db.CreateUser(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if err := db.CreateUser(t.Context(), want); !errors.Is(err, state.ErrExists) {
		t.Errorf("second time: %v", err)
	}
	for _, bad := range []string{"", "a\nb", strings.Repeat("x", 65), "\xff"} {
		if err := db.CreateUser(t.Context(), state.User{Name: bad, Role: state.RoleViewer}); err == nil {
			t.Errorf("made user %q", bad)
		}
	}
	if err := db.CreateUser(t.Context(), state.User{Name: "bob", Role: "root"}); err == nil {
		t.Error("made a user with an unknown role")
	}
	got, err := db.User(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := db.User(t.Context(), "nobody"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("unknown user: %v", err)
	}
}

// TestLastAdminStays: of changes that would each leave the other's admin as the last
// one, one is refused, from however many processes they come.
func TestLastAdminStays(t *testing.T) { each(t, testLastAdminStays) }

func testLastAdminStays(t *testing.T, open opener) {
	dbs := []*state.DB{open(t), open(t)}
	names := []string{"a", "b", "c", "d"}
	for _, name := range names {
		if err := dbs[0].CreateUser(t.Context(), state.User{Name: name, Role: state.RoleAdmin}); err != nil {
			t.Fatal(err)
		}
	}
	var refused atomic.Int32
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			db := dbs[i%2]
			var err error
			if i < 2 {
				_, err = db.RemoveUser(t.Context(), name)
			} else {
				err = db.SetRole(t.Context(), name, state.RoleViewer)
			}
			if errors.Is(err, state.ErrLastAdmin) {
				refused.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	users, err := dbs[0].Users(t.Context())
	if err != nil || refused.Load() != 1 {
		t.Errorf("%d refused, %v", refused.Load(), err)
	}
	admins := slices.DeleteFunc(users, func(u state.User) bool { return u.Role != state.RoleAdmin })
	if len(admins) != 1 {
		t.Errorf("admins left: %v", admins)
	}
	if err := dbs[0].SetRole(t.Context(), "nobody", state.RoleAdmin); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("role of nobody: %v", err)
	}
	if _, err := dbs[0].RemoveUser(t.Context(), "nobody"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("removal of nobody: %v", err)
	}
}

func TestPruneAudit(t *testing.T) { each(t, testPruneAudit) }

func testPruneAudit(t *testing.T, open opener) {
	db := open(t)
	for i := range 10 {
		if err := db.AppendAudit(t.Context(), state.Audit{Time: epoch.Add(time.Duration(i) * time.Hour), Operation: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{4, 0} {
		if n, err := db.PruneAudit(t.Context(), epoch.Add(4*time.Hour)); err != nil || n != want {
			t.Errorf("pruned %d, %v, want %d", n, err, want)
		}
	}
	left, err := db.AuditTrail(t.Context(), 0, 100)
	if err != nil || len(left) != 6 || !left[5].Time.Equal(epoch.Add(4*time.Hour)) {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestSessions(t *testing.T) { each(t, testSessions) }

func testSessions(t *testing.T, open opener) {
	db := open(t)
	if err := db.CreateUser(t.Context(), state.User{Name: "ada", Role: state.RoleViewer}); err != nil {
		t.Fatal(err)
	}
	session := func(i int) state.Session {
		at := epoch.Add(time.Duration(i) * time.Second)
		return state.Session{
			TokenHash: sha256.Sum256([]byte{byte(i)}), User: "ada", Created: at, LastSeen: at,
			Expires: epoch.Add(time.Hour), SrcIP: "127.0.0.1", UserAgent: "test",
		}
	}
	for i := range 40 {
		if err := db.CreateSession(t.Context(), session(i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := db.Session(t.Context(), session(0).TokenHash); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("the oldest of 40 sessions is still there: %v", err)
	}
	want := session(39)
	want.LastSeen = epoch.Add(2 * time.Minute)
	if err := db.TouchSession(t.Context(), want.TokenHash, want.LastSeen); err != nil {
		t.Fatal(err)
	}
	got, user, err := db.Session(t.Context(), want.TokenHash)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if user.Name != "ada" || !user.LastLogin.Equal(want.Created) {
		t.Errorf("user %+v", user)
	}
	if _, err := db.SetPassword(t.Context(), "ada", "new", want.TokenHash[:]); err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.Session(t.Context(), session(38).TokenHash); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("another session outlived the change of password: %v", err)
	}
	if _, user, err = db.Session(t.Context(), want.TokenHash); err != nil || user.PasswordHash != "new" {
		t.Errorf("own session: %v, hash %q", err, user.PasswordHash)
	}
	if err := db.DeleteSession(t.Context(), want.TokenHash); err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.Session(t.Context(), want.TokenHash); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("after its end: %v", err)
	}
	if _, err := db.SetPassword(t.Context(), "nobody", "x", nil); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("password of nobody: %v", err)
	}
}

func TestAudit(t *testing.T) { each(t, testAudit) }

func testAudit(t *testing.T, open opener) {
	db := open(t)
	for _, op := range []string{"one", "two", "three"} {
		err := db.AppendAudit(t.Context(), state.Audit{Actor: "ada", Operation: op, Success: true, Detail: strings.Repeat("d", 5000)})
		if err != nil {
			t.Fatal(err)
		}
	}
	trail, err := db.AuditTrail(t.Context(), 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(trail) != 2 || trail[0].Operation != "three" || !trail[0].Time.Equal(epoch) || len(trail[0].Detail) != 1024 {
		t.Errorf("%d records, first %q at %v", len(trail), trail[0].Operation, trail[0].Time)
	}
	rest, err := db.AuditTrail(t.Context(), trail[1].ID, 10)
	if err != nil || len(rest) != 1 || rest[0].Operation != "one" {
		t.Errorf("next page: %+v, %v", rest, err)
	}
}

func TestAgents(t *testing.T) { each(t, testAgents) }

func testAgents(t *testing.T, open opener) {
	db := open(t)
	a := state.Agent{Host: "h1", ID: "proc_agent", Node: "n1", Status: []byte{1}, Updated: epoch}
	b := state.Agent{Host: "h2", ID: "proc_agent", Node: "n2", Status: []byte{7}, Updated: epoch}
	if err := db.PutAgents(t.Context(), []state.Agent{b, a}); err != nil {
		t.Fatal(err)
	}
	if err := db.SetDesired(t.Context(), "h1", "proc_agent", "stopped"); err != nil {
		t.Fatal(err)
	}
	a.Status, a.Node = []byte{2}, "n3"
	if err := db.PutAgents(t.Context(), []state.Agent{a}); err != nil {
		t.Fatal(err)
	}
	got, err := db.Agents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.Desired = "stopped"
	if diff := cmp.Diff([]state.Agent{a, b}, got); diff != "" {
		t.Error(diff)
	}
	if err := db.DeleteAgents(t.Context(), []state.Agent{a}); err != nil {
		t.Fatal(err)
	}
	if err := db.SetDesired(t.Context(), "h1", "proc_agent", "running"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("desired state of a forgotten agent: %v", err)
	}
	many := make([]state.Agent, 300)
	for i := range many {
		many[i] = state.Agent{Host: "many", ID: fmt.Sprintf("agent-%03d", i), Node: "n", Status: []byte{byte(i)}, Updated: epoch}
	}
	for range 2 { // they are new, then known
		if err := db.PutAgents(t.Context(), many); err != nil {
			t.Fatal(err)
		}
	}
	got, err = db.Agents(t.Context())
	if diff := cmp.Diff(append([]state.Agent{b}, many...), got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestHosts(t *testing.T) { each(t, testHosts) }

func testHosts(t *testing.T, open opener) {
	db := open(t)
	seen := time.Date(2026, 5, 1, 12, 0, 0, 7, time.UTC)
	web := state.Host{Name: "web-1", Node: "web-1", Version: "1", LastSeen: seen}
	gone := state.Host{Name: "gone", Node: "gone", LastSeen: seen, Silent: true}
	check := func(want ...state.Host) {
		t.Helper()
		got, err := db.Hosts(t.Context())
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v, (-want +got):\n%s", err, diff)
		}
	}
	check()
	if err := db.PutHosts(t.Context(), []state.Host{web, gone}); err != nil {
		t.Fatal(err)
	}
	check(gone, web)
	web.Version, web.Silent, web.LastSeen = "2", true, seen.Add(time.Hour)
	if err := db.PutHosts(t.Context(), []state.Host{web}); err != nil {
		t.Fatal(err)
	}
	check(gone, web)
	if err := db.DeleteHosts(t.Context(), []string{"gone", "never"}); err != nil {
		t.Fatal(err)
	}
	check(web)
}
