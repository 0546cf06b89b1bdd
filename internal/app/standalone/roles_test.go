//go:build unix

package standalone

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/obs"
)

// patience is how long things may take on a busy machine.
const patience = 20 * time.Second

// fakeMark is the first word of the command of a fake role: the test binary.
const fakeMark = "fake-"

// What runs already is the engine's parser, whose packages start goroutines as they load.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], fakeMark) {
		os.Exit(fakeRole(os.Args[2], os.Args[3])) //nolint:forbidigo // here the test binary is a role
	}
	if len(os.Args) == 4 && os.Args[1] == greeterRole().Name && os.Args[2] == "--home" {
		e := cli.System()
		e.Home = config.Home(os.Args[3])
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := runGreeter(ctx, e); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}

// freePort is the number of a port that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// fakeRole is what the test binary does as a role. It works once the file ready
// is there, and notes when it ends in the file ended.
func fakeRole(mode, dir string) int {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	name := strings.TrimPrefix(os.Args[1], fakeMark)
	tries, _ := filepath.Glob(filepath.Join(dir, name+".try.*"))
	_ = os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s.try.%d", name, len(tries))), nil, 0o600)
	if mode == "broken" || mode == "crashes-later" && len(tries) == 1 {
		fmt.Fprintln(os.Stderr, "out of luck")
		return 3
	}
	_ = os.WriteFile(filepath.Join(dir, name+".ready"), nil, 0o600)
	switch mode {
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		select {} // it can only be killed
	case "crashes-later":
		if len(tries) == 0 {
			select {
			case <-term:
			case <-time.After(50 * time.Millisecond):
				return 4
			}
		}
	}
	<-term
	f, err := os.OpenFile(filepath.Join(dir, "order"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 1
	}
	fmt.Fprintln(f, name)
	if err := f.Close(); err != nil {
		return 1
	}
	return 0
}

// fake describes a role that a test runs, as a package of its own would.
func fake(name, mode, dir string, after ...string) app.Role {
	return app.Role{
		Name: fakeMark + name, Log: name, After: after,
		File: func(h config.Home) string { return h.Path("config/" + name + "_config.yaml") },
		Load: func(*cli.Env, app.RoleOptions, config.DecodeOptions) (app.Settings, error) {
			stop := patience
			if mode == "stubborn" {
				stop = 100*time.Millisecond - stopMargin
			}
			return app.Settings{
				Program: os.Args[0], Args: []string{mode, dir}, Stop: stop,
				Ports: []app.Port{{Who: "the " + name, Addr: "127.0.0.1:0", Key: "server.port"}},
				Ready: func(context.Context, app.Surroundings) error {
					_, err := os.Stat(filepath.Join(dir, name+".ready"))
					return err
				},
			}, nil
		},
	}
}

// lockedBuffer is what up prints.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *lockedBuffer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *lockedBuffer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// running is an up of fake roles.
type running struct {
	home config.Home
	out  *lockedBuffer
	stop func() error // ends it and returns how run ended
	done chan error
}

func runRoles(t *testing.T, roles ...app.Role) *running {
	t.Helper()
	u := &running{home: testHome(t), out: &lockedBuffer{}, done: make(chan error, 1)}
	e := &cli.Env{Home: u.home, Now: time.Now, Stdout: u.out, Stderr: u.out, Lookup: os.LookupEnv, Logger: obs.Discard()}
	p, err := readPlan(e, roles, Options{Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	s := newSystem(e, p, Options{Plain: true}, "", obs.Discard())
	ctx, cancel := context.WithCancel(t.Context())
	go func() { u.done <- s.run(ctx) }()
	u.stop = sync.OnceValue(func() error {
		cancel()
		return <-u.done
	})
	t.Cleanup(func() { _ = u.stop() })
	return u
}

// until polls for a line of what up prints.
func (u *running) until(t *testing.T, what string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(u.out.String(), what); {
		if time.Now().After(deadline) {
			t.Fatalf("no %q in\n%s", what, u.out)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

// TestAnyRoleIsSupervised: a role that up has never heard of is started after those
// it needs, shown, started again when it crashes, and stopped before them; one that
// does not listen to SIGTERM is killed.
func TestAnyRoleIsSupervised(t *testing.T) {
	dir := t.TempDir()
	u := runRoles(t,
		fake("base", "good", dir),
		fake("store", "crashes-later", dir, fakeMark+"base"),
		fake("deaf", "stubborn", dir, fakeMark+"base"),
		fake("top", "good", dir, fakeMark+"store", fakeMark+"deaf"),
	)
	u.until(t, "ready in ")
	u.until(t, "fake-store   crashed: out of luck")
	for deadline := time.Now().Add(patience); ; {
		roles, since := Running(u.home)
		i := slices.IndexFunc(roles, func(r remote.RoleStatus) bool { return r.Name == "fake-store" })
		if i >= 0 && roles[i].State == "running" && roles[i].Restarts == 2 && roles[i].PID != 0 && since != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the store does not run again: %+v\n%s", roles, u.out)
		}
		<-time.After(10 * time.Millisecond)
	}
	if err := u.stop(); err != nil {
		t.Error(err)
	}
	if got := strings.Fields(read(t, filepath.Join(dir, "order"))); !slices.Equal(got, []string{"top", "store", "base"}) {
		t.Errorf("stopped in the order %v", got)
	}
	text := u.out.String()
	for _, name := range []string{"top", "deaf", "store", "base"} {
		if !strings.Contains(text, "stopping fake-"+name) {
			t.Errorf("%s is not said to be stopped", name)
		}
	}
	if strings.Index(text, "fake-top     running") < strings.Index(text, "fake-store   running") {
		t.Errorf("top was started before the store:\n%s", text)
	}
}

// TestGoesOnWithoutAnOptionalRole: up is ready, says what is missing, and tries again.
func TestGoesOnWithoutAnOptionalRole(t *testing.T) {
	dir := t.TempDir()
	broken := fake("store", "broken", dir, fakeMark+"base")
	broken.Optional = true
	u := runRoles(t, fake("base", "good", dir), broken, fake("after", "good", dir, fakeMark+"base"))
	u.until(t, "fake-store did not start: out of luck")
	u.until(t, "everything else goes on")
	u.until(t, "ready in ")
	if err := u.stop(); err != nil {
		t.Error(err)
	}
	if got := strings.Fields(read(t, filepath.Join(dir, "order"))); !slices.Equal(got, []string{"after", "base"}) {
		t.Errorf("stopped in the order %v", got)
	}
	tries, err := filepath.Glob(filepath.Join(dir, "store.try.*"))
	if err != nil || len(tries) == 0 {
		t.Errorf("it was not tried: %v, %v", tries, err)
	}
}

// TestSlowRoleHoldsUpThoseAfterIt and nothing else.
func TestSlowRoleHoldsUpThoseAfterIt(t *testing.T) {
	dir := t.TempDir()
	slow := fake("slow", "good", dir)
	load := slow.Load
	open := filepath.Join(dir, "open")
	slow.Load = func(e *cli.Env, o app.RoleOptions, d config.DecodeOptions) (app.Settings, error) {
		s, err := load(e, o, d)
		s.Ready = func(context.Context, app.Surroundings) error {
			_, err := os.Stat(open)
			return err
		}
		return s, err
	}
	u := runRoles(t, slow, fake("other", "good", dir), fake("after", "good", dir, fakeMark+"slow"))
	u.until(t, "fake-other   running")
	if text := u.out.String(); strings.Contains(text, "fake-after") || strings.Contains(text, "ready in") {
		t.Errorf("it did not wait:\n%s", text)
	}
	if err := os.WriteFile(open, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	u.until(t, "ready in ")
	if err := u.stop(); err != nil {
		t.Error(err)
	}
}

// TestRoleThatNeverStartsEndsUp, with its last words and its log, and what had
// started is stopped.
func TestRoleThatNeverStartsEndsUp(t *testing.T) {
	dir := t.TempDir()
	u := runRoles(t, fake("base", "good", dir), fake("store", "broken", dir, fakeMark+"base"), fake("after", "good", dir, fakeMark+"store"))
	err := <-u.done
	u.done <- err
	if err == nil || !strings.Contains(err.Error(), "fake-store did not start: out of luck") || !strings.Contains(err.Error(), "logs/store.log") {
		t.Errorf("got %v", err)
	}
	if got := read(t, filepath.Join(dir, "order")); got != "base\n" {
		t.Errorf("stopped %q", got)
	}
}

// TestPlanNamesWhatIsMissing: ports that are taken and certificates that are not
// there are said before anything is started, of any role.
func TestPlanNamesWhatIsMissing(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	with := func(change func(*app.Settings)) app.Role {
		r := fake("store", "good", t.TempDir())
		load := r.Load
		r.Load = func(e *cli.Env, o app.RoleOptions, d config.DecodeOptions) (app.Settings, error) {
			s, err := load(e, o, d)
			change(&s)
			return s, err
		}
		return r
	}
	e := &cli.Env{Home: testHome(t), Lookup: noLookup}
	p, err := readPlan(e, []app.Role{with(func(s *app.Settings) { s.Ports[0].Addr = l.Addr().String() })}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.checkPorts(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "the store cannot start") || !strings.Contains(err.Error(), "server.port in "+e.Home.Path("config/store_config.yaml")) {
		t.Error(err)
	}
	_, err = readPlan(e, []app.Role{with(func(s *app.Settings) { s.Cert = e.Home.Path("certs/store.crt") })}, Options{})
	if err == nil || !strings.Contains(err.Error(), "fake-store cannot start without its certificate") {
		t.Error(err)
	}
}

// TestRolesCanStart: whatever a role comes after is listed before it, so that the
// order in which roles are stopped is right.
func TestRolesCanStart(t *testing.T) {
	var before []string
	for _, r := range app.Roles() {
		for _, name := range r.After {
			if !slices.Contains(before, name) {
				t.Errorf("%s comes after %s, which is not listed before it", r.Name, name)
			}
		}
		before = append(before, r.Name)
	}
}
