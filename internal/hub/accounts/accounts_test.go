package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/hub/accounts"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
	"github.com/amoskys/amoskys/internal/state/password"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const right = "correct horse battery"

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// trail remembers acts.
type trail struct {
	mu   sync.Mutex
	acts []*pb.AuditActivity
}

func (t *trail) Audit(_ context.Context, act *pb.AuditActivity) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.acts = append(t.acts, act)
}

func (t *trail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	for _, a := range t.acts {
		lines = append(lines, fmt.Sprint(a.GetActor(), " ", a.GetOperation(), " ", a.GetSuccess(), " ", a.GetSrcIp()))
	}
	return strings.Join(lines, "\n")
}

func cheapHasher() *password.Hasher {
	return password.New(password.Params{MemoryKiB: 64, Passes: 1, Lanes: 1}, 2)
}

type fixture struct {
	*accounts.Service
	db    *state.DB
	clock *clock
	trail *trail
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{clock: &clock{t: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}, trail: &trail{}}
	db, err := state.Open(t.Context(), state.Options{File: filepath.Join(t.TempDir(), "state.db"), Now: f.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	hasher := cheapHasher()
	hash, err := hasher.Hash(t.Context(), right)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ada", "bob"} {
		if err := db.CreateUser(t.Context(), state.User{Name: name, Role: state.RoleAdmin, PasswordHash: hash}); err != nil {
			t.Fatal(err)
		}
	}
	f.db = db
	f.Service = accounts.New(accounts.Options{Store: db, Auditor: f.trail, Hasher: hasher, Now: f.clock.now})
	return f
}

func (f *fixture) login(t *testing.T, name, plain, ip string) (*pb.LoginResponse, error) {
	t.Helper()
	return f.Login(t.Context(), &pb.LoginRequest{Name: name, Password: plain, SrcIp: ip, UserAgent: "test"})
}

func (f *fixture) session(t *testing.T, token string) (*pb.SessionResponse, error) {
	t.Helper()
	return f.Session(t.Context(), &pb.SessionRequest{Token: token})
}

func TestLogin(t *testing.T) {
	f := newFixture(t)
	got, err := f.login(t, "ada", right, "10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.GetToken()) != 43 || got.GetUser().GetRole() != pb.Role_ROLE_ADMIN || got.GetCsrfToken() == got.GetToken() {
		t.Errorf("login %v", got)
	}
	again, err := f.session(t, got.GetToken())
	if err != nil || again.GetCsrfToken() != got.GetCsrfToken() || again.GetUser().GetName() != "ada" {
		t.Errorf("session %v, %v", again, err)
	}
	for name, try := range map[string][2]string{
		"wrong password": {"ada", "x"}, "unknown name": {"eve", right}, "no name": {"", right},
		"long password": {"ada", strings.Repeat("x", 1000)}, "long name": {strings.Repeat("x", 1000), right},
	} {
		_, err := f.login(t, try[0], try[1], "10.0.0.2")
		if status.Code(err) != codes.Unauthenticated || status.Convert(err).Message() != "wrong name or password" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"", "x", strings.Repeat("A", 43), strings.Repeat("x", 1<<20)} {
		if _, err := f.session(t, bad); status.Code(err) != codes.Unauthenticated {
			t.Errorf("session of %.50q: %v", bad, err)
		}
	}
	if s := f.trail.String(); !strings.Contains(s, "ada user.login true 10.0.0.1") || !strings.Contains(s, "eve user.login false 10.0.0.2") {
		t.Error(s)
	}
}

func TestSessionEnds(t *testing.T) {
	f := newFixture(t)
	idle, err := f.login(t, "ada", right, "ip")
	if err != nil {
		t.Fatal(err)
	}
	busy, err := f.login(t, "ada", right, "ip")
	if err != nil {
		t.Fatal(err)
	}
	for range 7*2 - 1 {
		f.clock.advance(11*time.Hour + 59*time.Minute)
		s, err := f.session(t, busy.GetToken())
		if err != nil {
			t.Fatalf("a busy session ended at %v: %v", f.clock.now(), err)
		}
		if s.GetExpiresTime().AsTime().After(f.clock.now().Add(12 * time.Hour)) {
			t.Errorf("expires %v", s.GetExpiresTime().AsTime())
		}
	}
	if _, err := f.session(t, idle.GetToken()); status.Code(err) != codes.Unauthenticated {
		t.Errorf("idle session: %v", err)
	}
	f.clock.advance(11*time.Hour + 59*time.Minute)
	f.clock.advance(30 * time.Minute)
	if _, err := f.session(t, busy.GetToken()); status.Code(err) != codes.Unauthenticated {
		t.Errorf("after seven days: %v", err)
	}
	gone, err := f.login(t, "ada", right, "ip")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := f.Logout(t.Context(), &pb.LogoutRequest{Token: gone.GetToken()}); err != nil {
			t.Error(err)
		}
	}
	if _, err := f.session(t, gone.GetToken()); status.Code(err) != codes.Unauthenticated {
		t.Errorf("after logout: %v", err)
	}
}

func retryIn(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*errdetails.RetryInfo); ok {
			return r.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

func TestLoginLimits(t *testing.T) {
	f := newFixture(t)
	for range 5 {
		if _, err := f.login(t, "ada", "wrong", "10.0.0.1"); status.Code(err) != codes.Unauthenticated {
			t.Fatal(err)
		}
	}
	_, err := f.login(t, "ada", right, "10.0.0.1")
	if status.Code(err) != codes.ResourceExhausted || retryIn(err) != 30*time.Second {
		t.Fatalf("sixth try: %v, again in %v", err, retryIn(err))
	}
	if _, err := f.login(t, "ada", right, "10.0.0.2"); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
	f.clock.advance(30 * time.Second)
	if _, err := f.login(t, "ada", right, "10.0.0.1"); err != nil {
		t.Errorf("after the wait: %v", err)
	}
	// A success fills the bucket again.
	for range 5 {
		if _, err := f.login(t, "ada", "wrong", "10.0.0.1"); status.Code(err) != codes.Unauthenticated {
			t.Errorf("after a success: %v", err)
		}
	}
}

// TestLoginLimitsBySubscriberOfIPv6: who has one address of a /64 has them all.
func TestLoginLimitsBySubscriberOfIPv6(t *testing.T) {
	f := newFixture(t)
	try := func(plain, ip string) codes.Code {
		_, err := f.login(t, "ada", plain, ip)
		return status.Code(err)
	}
	for i := range 5 {
		if code := try("wrong", fmt.Sprintf("2001:db8:0:7::%x", i+1)); code != codes.Unauthenticated {
			t.Fatal(code)
		}
	}
	if code := try(right, "2001:db8:0:7:ffff::9"); code != codes.ResourceExhausted {
		t.Errorf("sixth address of the same network: %v", code)
	}
	if code := try(right, "2001:db8:0:8::1"); code != codes.OK {
		t.Errorf("another network: %v", code)
	}
	for range 5 {
		try("wrong", "10.0.0.1")
	}
	if code := try(right, "::ffff:10.0.0.1"); code != codes.ResourceExhausted {
		t.Errorf("the same address written in IPv6: %v", code)
	}
}

// TestOthersDoNotLockOut: however many addresses try however many names, who signs
// in from where they signed in before is let in, also after the hub has started
// anew; somebody from elsewhere has to wait.
func TestOthersDoNotLockOut(t *testing.T) {
	f := newFixture(t)
	if _, err := f.login(t, "ada", right, "10.0.0.1"); err != nil {
		t.Fatal(err)
	}
	restarted := accounts.New(accounts.Options{Store: f.db, Auditor: f.trail, Hasher: cheapHasher(), Now: f.clock.now})
	for name, s := range map[string]*accounts.Service{"the same hub": f.Service, "the hub after a restart": restarted} {
		try := func(user, plain, ip string) codes.Code {
			_, err := s.Login(t.Context(), &pb.LoginRequest{Name: user, Password: plain, SrcIp: ip})
			return status.Code(err)
		}
		var attackers sync.WaitGroup
		for i := range 4 {
			attackers.Go(func() {
				for j := range 200 {
					try("ada", "wrong", fmt.Sprintf("10.%d.%d.9", i+1, j))
				}
			})
		}
		attackers.Wait()
		if code := try("ada", right, "10.9.9.9"); code != codes.ResourceExhausted {
			t.Errorf("%s, from a new address: %v", name, code)
		}
		for range 10 {
			if code := try("ada", right, "10.0.0.1"); code != codes.OK {
				t.Errorf("%s, from a known address: %v", name, code)
			}
		}
	}
}

func TestLoginLimitsByAddressAndOverall(t *testing.T) {
	f := newFixture(t)
	limited := func(name, ip string) bool {
		_, err := f.login(t, name, "x", ip)
		return status.Code(err) == codes.ResourceExhausted
	}
	for i := range 30 {
		if limited(fmt.Sprint("user", i), "10.0.0.1") {
			t.Fatalf("address limited at %d", i)
		}
	}
	if !limited("another", "10.0.0.1") {
		t.Error("an address is not limited")
	}
	total := 30
	for total < 500 && !limited(fmt.Sprint("u", total), fmt.Sprint("10.1.0.", total)) {
		total++
	}
	if total != 120 {
		t.Errorf("the whole is limited at %d", total)
	}
	f.clock.advance(500 * time.Millisecond)
	if limited("late", "10.2.0.1") {
		t.Error("still limited when a try is due")
	}
}

func TestChangePassword(t *testing.T) {
	f := newFixture(t)
	own, _ := f.login(t, "ada", right, "ip")
	other, _ := f.login(t, "ada", right, "ip")
	bob, _ := f.login(t, "bob", right, "ip")
	change := func(before, after string) error {
		_, err := f.ChangePassword(t.Context(), &pb.ChangePasswordRequest{Token: own.GetToken(), OldPassword: before, NewPassword: after})
		return err
	}
	for after, want := range map[string]codes.Code{
		"short": codes.InvalidArgument, strings.Repeat("a", 20): codes.InvalidArgument, right: codes.InvalidArgument,
		strings.Repeat("abcde", 100): codes.InvalidArgument, "\xff\xfe not text, not text": codes.InvalidArgument,
	} {
		if err := change(right, after); status.Code(err) != want {
			t.Errorf("%.30q: %v", after, err)
		}
	}
	if err := change("wrong", "a new long password"); status.Code(err) != codes.PermissionDenied {
		t.Errorf("wrong old password: %v", err)
	}
	if err := change(right, "a new long password"); err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]codes.Code{
		own.GetToken(): codes.OK, other.GetToken(): codes.Unauthenticated, bob.GetToken(): codes.OK,
	} {
		if _, err := f.session(t, token); status.Code(err) != want {
			t.Errorf("session: %v, want %v", err, want)
		}
	}
	if _, err := f.login(t, "ada", "a new long password", "ip2"); err != nil {
		t.Error(err)
	}
	for range 6 {
		_ = change("wrong", "another long password")
	}
	if err := change("a new long password", "another long password"); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("guessing the old password is not limited: %v", err)
	}
	if s := f.trail.String(); strings.Count(s, "ada user.change_password false") != 6 || !strings.Contains(s, "ada user.change_password true") {
		t.Error(s)
	}
}

// brokenStore fails, as a full disk would.
type brokenStore struct{ accounts.Store }

func (brokenStore) User(context.Context, string) (state.User, error) {
	return state.User{}, errors.New("disk /secret/path is full")
}

func (brokenStore) SignedInFrom(context.Context, string) ([]string, error) {
	return nil, errors.New("disk /secret/path is full")
}

func TestInternalErrorsAreHidden(t *testing.T) {
	s := accounts.New(accounts.Options{Store: brokenStore{}})
	_, err := s.Login(t.Context(), &pb.LoginRequest{Name: "ada", Password: right})
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

// countingHasher counts what was verified.
type countingHasher struct {
	*password.Hasher
	verified []string
}

func (h *countingHasher) Verify(ctx context.Context, hash, plain string) (bool, error) {
	h.verified = append(h.verified, hash)
	return h.Hasher.Verify(ctx, hash, plain)
}

func TestUnknownNameCostsTheSame(t *testing.T) {
	f := newFixture(t)
	h := &countingHasher{Hasher: password.New(password.Params{MemoryKiB: 64, Passes: 1, Lanes: 1}, 1)}
	s := accounts.New(accounts.Options{Store: f.db, Hasher: h, Now: f.clock.now})
	for _, name := range []string{"ada", "eve"} {
		if _, err := s.Login(t.Context(), &pb.LoginRequest{Name: name, Password: "wrong"}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	cost := func(hash string) string { return strings.Split(hash, "$")[3] }
	if len(h.verified) != 2 || cost(h.verified[0]) != cost(h.verified[1]) {
		t.Errorf("verified %q", h.verified)
	}
}
