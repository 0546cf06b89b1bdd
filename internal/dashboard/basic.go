package dashboard

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// basicLogins are the sessions of those who send name and password with each request
// (RFC 7617), as Grafana and promtool do. A password is checked once, which takes the hub
// a tenth of a second by design, and opens a session like any other; while it lives,
// requests with the same name and password are of it. What is kept of a password is a
// keyed hash, whose key dies with the process.
type basicLogins struct {
	key [sha256.Size]byte

	mu    sync.Mutex // guards known
	known map[[sha256.Size]byte]*basicLogin
}

// basicLogin is one name and password.
type basicLogin struct {
	mu    sync.Mutex // held while the password is checked, so that forty requests check it once
	token string     // of the session, "" without
}

// maxBasic bounds how many are remembered.
const maxBasic = 256

func newBasicLogins() *basicLogins {
	b := &basicLogins{known: map[[sha256.Size]byte]*basicLogin{}}
	rand.Read(b.key[:])
	return b
}

// find returns what is known of a name and password.
func (b *basicLogins) find(name, password string) (id [sha256.Size]byte, l *basicLogin) {
	mac := hmac.New(sha256.New, b.key[:])
	mac.Write([]byte(name + "\x00" + password))
	id = [sha256.Size]byte(mac.Sum(nil))
	b.mu.Lock()
	defer b.mu.Unlock()
	if l = b.known[id]; l == nil {
		for other := range b.known { // any: who is thrown out checks the password again
			if len(b.known) < maxBasic {
				break
			}
			delete(b.known, other)
		}
		l = &basicLogin{}
		b.known[id] = l
	}
	return id, l
}

// forget takes away what turned out to be wrong, so that guesses throw nobody out.
func (b *basicLogins) forget(id [sha256.Size]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.known, id)
}

// basicSession is the session of a name and password. UNAUTHENTICATED: they are wrong.
func (s *Server) basicSession(r *http.Request, name, password string) (session, error) {
	if name == "" || len(name) > 64 || len(password) > 256 {
		return session{}, status.Error(codes.Unauthenticated, "wrong name or password")
	}
	id, l := s.basic.find(valid(name), valid(password))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.token != "" {
		found, err := s.sessions.lookup(r.Context(), l.token)
		if status.Code(err) != codes.Unauthenticated {
			return found, err
		}
		l.token = "" // it has ended: the password may still be right
	}
	found, err := s.open(r.Context(), r, valid(name), valid(password))
	if err != nil {
		s.basic.forget(id)
		return session{}, err
	}
	l.token = found.token
	return found, nil
}

// open checks a password and opens a session.
func (s *Server) open(ctx context.Context, r *http.Request, name, password string) (session, error) {
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	opened, err := s.hub.accounts.Login(ctx, &pb.LoginRequest{
		Name: name, Password: password, SrcIp: s.clientIP(r), UserAgent: valid(r.UserAgent()),
	})
	if err != nil {
		return session{}, err //nolint:wrapcheck // whoever asks words it
	}
	found := session{
		token: opened.GetToken(), user: opened.GetUser().GetName(), role: opened.GetUser().GetRole(),
		csrf: opened.GetCsrfToken(), expires: opened.GetExpiresTime().AsTime(),
	}
	s.sessions.remember(found)
	return found, nil
}
