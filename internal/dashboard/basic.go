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

	mu    sync.Mutex // guards known and the tokens in it
	known map[basicID]*basicLogin
}

// basicID is the keyed hash of a name and password.
type basicID [sha256.Size]byte

// basicLogin is one name and password.
type basicLogin struct {
	turn  chan struct{} // holds one while the password is checked, so that forty requests check it once
	token string        // of the session, "" without
}

// maxBasic bounds how many are remembered.
const maxBasic = 256

func newBasicLogins() *basicLogins {
	b := &basicLogins{known: map[basicID]*basicLogin{}}
	rand.Read(b.key[:])
	return b
}

// idOf names a name and password.
func (b *basicLogins) idOf(name, password string) basicID {
	mac := hmac.New(sha256.New, b.key[:])
	mac.Write([]byte(name + "\x00" + password))
	return basicID(mac.Sum(nil))
}

// find returns what is known of a name and password, and the token of their session.
func (b *basicLogins) find(id basicID) (l *basicLogin, token string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l = b.known[id]; l == nil {
		l = &basicLogin{turn: make(chan struct{}, 1)}
		b.insert(id, l)
	}
	return l, l.token
}

// insert remembers one, where need be in place of another: one without a session, which may
// be a guess, before those that have one and would check the password again. b is locked.
func (b *basicLogins) insert(id basicID, l *basicLogin) {
	if b.known[id] == nil && len(b.known) >= maxBasic {
		var out basicID
		for other, o := range b.known {
			if out = other; o.token == "" {
				break
			}
		}
		delete(b.known, out)
	}
	b.known[id] = l
}

// tokenOf is the token of the session of a name and password.
func (b *basicLogins) tokenOf(l *basicLogin) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return l.token
}

// opened keeps the session that a name and password have.
func (b *basicLogins) opened(id basicID, l *basicLogin, token string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l.token = token
	b.insert(id, l)
}

// forget takes away what turned out to be wrong.
func (b *basicLogins) forget(id basicID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.known, id)
}

// basicSession is the session of a name and password. UNAUTHENTICATED: they are wrong.
func (s *Server) basicSession(r *http.Request, name, password string) (session, error) {
	if name == "" || len(name) > 64 || len(password) > 256 {
		return session{}, status.Error(codes.Unauthenticated, "wrong name or password")
	}
	ctx := r.Context()
	id := s.basic.idOf(valid(name), valid(password))
	l, token := s.basic.find(id)
	if token != "" {
		found, err := s.sessions.lookup(ctx, token)
		if status.Code(err) != codes.Unauthenticated {
			return found, err
		} // it has ended: the password may still be right
	}
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return session{}, status.FromContextError(ctx.Err()).Err()
	}
	if newer := s.basic.tokenOf(l); newer != token { // another request has checked the password meanwhile
		return s.sessions.lookup(ctx, newer)
	}
	found, err := s.open(ctx, r, valid(name), valid(password))
	if err != nil {
		s.basic.forget(id)
		return session{}, err
	}
	s.basic.opened(id, l, found.token)
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
