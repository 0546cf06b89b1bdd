// Package inside lets the operator of a machine look into a running process of ours and
// turn its log up or down, without a port and without a restart.
//
// Each process has a socket in the folder run of its home, which its own user and root
// may open and nobody else: the kernel says who calls. Over it go, as HTTP,
//
//	GET  /level              the level of the log, now and as configured
//	PUT  /level              another one, until the process ends
//	GET  /profile/NAME       a profile of package runtime/pprof, or cpu, or trace
//	POST /act                what an operator has done at another process, for the trail
//
// Nothing of it is ever served on a network: a profile shows what is in memory.
package inside

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
)

// Socket is where the process called name of a home with this folder run listens.
func Socket(run, name string) string { return filepath.Join(run, name+".operator.sock") }

// Act is what an operator has done.
type Act struct {
	Actor     string `json:"actor"`     // such as "user 0 of this machine"
	Operation string `json:"operation"` // log.level or profile.take
	Target    string `json:"target"`    // the process
	Detail    string `json:"detail"`
}

// Operations that can be told of.
const (
	LevelChanged = "log.level"
	ProfileTaken = "profile.take"
)

// Acts hands on what operators have done, once somebody takes it. The zero value is
// ready.
type Acts struct {
	mu   sync.Mutex // guards take
	take func(context.Context, Act)
}

// To says who takes acts from now on.
func (a *Acts) To(take func(context.Context, Act)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.take = take
}

func (a *Acts) tell(ctx context.Context, act Act) bool {
	a.mu.Lock()
	take := a.take
	a.mu.Unlock()
	if take == nil {
		return false
	}
	take(ctx, act)
	return true
}

// Options say what is served, and where. Acts may be nil: then nobody takes acts here.
type Options struct {
	Socket string
	Level  *obs.Level
	Logger *slog.Logger
	Acts   *Acts
}

// Bounds on who calls.
const (
	maxSeconds   = 120
	maxBody      = 4 << 10
	maxProfileMB = 64
)

// How long a caller waits for an answer, and for a profile beyond the time that it is taken
// for: a process that hangs is one of those that are looked into.
const (
	answerTime  = 10 * time.Second
	profileTime = time.Minute
)

// server answers.
type server struct {
	o           Options
	mostProfile int        // bytes
	busy        sync.Mutex // held while a profile is taken
}

// Start serves until the returned function is called, which returns when all has ended.
func Start(o Options) (stop func() error, err error) {
	l, err := listen(o.Socket)
	if err != nil {
		return nil, fmt.Errorf("listen for the operator: %w", err)
	}
	s := &server{o: o, mostProfile: maxProfileMB << 20}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /level", s.level)
	mux.HandleFunc("PUT /level", s.setLevel)
	mux.HandleFunc("GET /profile/{name}", s.profile)
	mux.HandleFunc("POST /act", s.act)
	web := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, MaxHeaderBytes: 8 << 10,
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			uid, _ := callerOf(c) // whoever may not call was turned away by accept
			return context.WithValue(ctx, uidKey{}, uid)
		},
	}
	done := make(chan error, 1)
	go func() { done <- web.Serve(guarded{l, o.Logger}) }()
	return func() error {
		err := web.Close()
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return errors.Join(err, removeIfThere(o.Socket))
	}, nil
}

type uidKey struct{}

func actorOf(ctx context.Context) string {
	uid, _ := ctx.Value(uidKey{}).(int)
	return "user " + strconv.Itoa(uid) + " of this machine"
}

// guarded turns away whoever is neither root nor this process's own user. The modes of
// socket and folder do so already, where nobody has changed them.
type guarded struct {
	net.Listener
	logger *slog.Logger
}

// Accept returns the next connection of somebody who may call.
func (g guarded) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, err := callerOf(c)
		if err == nil && (uid == 0 || uid == os.Geteuid()) {
			return c, nil
		}
		g.logger.Warn("somebody else's call to the operator's socket was refused", obs.KeyUser, uid)
		_ = c.Close()
	}
}

// Levels are how much a log says.
type Levels struct {
	Level      string `json:"level"`
	Was        string `json:"was,omitempty"` // before it was set
	Configured string `json:"configured"`
}

func (s *server) level(w http.ResponseWriter, _ *http.Request) {
	obs.WriteJSON(w, http.StatusOK, Levels{Level: obs.LevelName(s.o.Level.Level()), Configured: obs.LevelName(s.o.Level.Configured())})
}

func (s *server) setLevel(w http.ResponseWriter, r *http.Request) {
	var want Levels
	if err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&want); err != nil {
		refuse(w, http.StatusBadRequest, "the body is no JSON: "+err.Error())
		return
	}
	at := s.o.Level.Configured()
	if want.Level != "" {
		var err error
		if at, err = obs.ParseLevel(want.Level); err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
	}
	was := s.o.Level.Set(at)
	// At the level of a warning, so that it is in the log whatever the level is.
	s.o.Logger.WarnContext(r.Context(), "the operator has set the level of this log", "level", obs.LevelName(at), "was", obs.LevelName(was), "actor", actorOf(r.Context()))
	obs.WriteJSON(w, http.StatusOK, Levels{Level: obs.LevelName(at), Was: obs.LevelName(was), Configured: obs.LevelName(s.o.Level.Configured())})
}

// ProfileNames are those that can be asked for.
func ProfileNames() []string {
	return []string{"cpu", "trace", "heap", "allocs", "goroutine", "threadcreate"}
}

// profile answers with a profile, one at a time: cpu and trace take as long as they say.
func (s *server) profile(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	seconds, err := strconv.Atoi(r.URL.Query().Get("seconds"))
	timed := name == "cpu" || name == "trace"
	switch {
	case timed && (err != nil || seconds < 1 || seconds > maxSeconds):
		refuse(w, http.StatusBadRequest, fmt.Sprintf("a profile %s takes 1 to %d seconds", name, maxSeconds))
		return
	case !timed && pprof.Lookup(name) == nil:
		refuse(w, http.StatusNotFound, "there is no profile "+strconv.Quote(name)+": "+strings.Join(ProfileNames(), ", "))
		return
	case !s.busy.TryLock():
		refuse(w, http.StatusConflict, "a profile is being taken")
		return
	}
	defer s.busy.Unlock()
	s.o.Logger.WarnContext(r.Context(), "the operator takes a profile of this process", "profile", name, "actor", actorOf(r.Context()))
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Trailer", failedTrailer)
	out := &bounded{w: w, left: s.mostProfile}
	switch name {
	case "cpu":
		err = during(r.Context(), seconds, func() error { return pprof.StartCPUProfile(out) }, pprof.StopCPUProfile)
	case "trace":
		err = during(r.Context(), seconds, func() error { return trace.Start(out) }, trace.Stop)
	default:
		err = pprof.Lookup(name).WriteTo(out, 0)
	}
	if out.full { // the runtime keeps that to itself
		err = errTooLarge
	}
	if err != nil {
		s.o.Logger.WarnContext(r.Context(), "the profile could not be taken", obs.KeyError, err)
		w.Header().Set(failedTrailer, err.Error())
	}
}

// during runs what is between begin and end for so long, or until ctx ends.
func during(ctx context.Context, seconds int, begin func() error, end func()) error {
	if err := begin(); err != nil {
		return err
	}
	defer end()
	timer := time.NewTimer(time.Duration(seconds) * time.Second)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failedTrailer says behind a profile that it is not whole, and why.
const failedTrailer = "Profile-Failed"

var errTooLarge = fmt.Errorf("it is larger than %d MB: take it for fewer seconds", maxProfileMB)

// bounded writes so much at most, and nothing behind what there was no room for: a profile
// with a hole is worse than one that ends.
type bounded struct {
	w    io.Writer
	left int
	full bool
}

// Write passes on what there is room for.
func (b *bounded) Write(p []byte) (int, error) {
	if b.full || len(p) > b.left {
		b.full = true
		return 0, errTooLarge
	}
	b.left -= len(p)
	return b.w.Write(p)
}

// act takes what the operator has done elsewhere. Who did it is what the kernel says.
func (s *server) act(w http.ResponseWriter, r *http.Request) {
	var act Act
	if err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&act); err != nil {
		refuse(w, http.StatusBadRequest, "the body is no JSON: "+err.Error())
		return
	}
	if act.Operation != LevelChanged && act.Operation != ProfileTaken {
		refuse(w, http.StatusBadRequest, "no such operation")
		return
	}
	act.Actor = actorOf(r.Context())
	if s.o.Acts == nil || !s.o.Acts.tell(r.Context(), act) {
		refuse(w, http.StatusNotFound, "this process keeps no trail")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func refuse(w http.ResponseWriter, status int, text string) {
	obs.WriteJSON(w, status, map[string]string{"error": text})
}

func removeIfThere(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// listen opens the socket for this user alone. The folder is closed to others too.
func listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	short, done, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer done()
	if c, err := net.DialTimeout("unix", short, time.Second); err == nil { //nolint:noctx // it has an end of its own
		_ = c.Close() // only asked for
		return nil, fmt.Errorf("%s is another process's that runs", path)
	}
	if err := removeIfThere(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", short) //nolint:noctx // nothing waits
	if err != nil {
		return nil, err
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the short name is gone by then
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}
