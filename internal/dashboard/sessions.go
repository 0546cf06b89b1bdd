package dashboard

import (
	"container/list"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// cookieName is the session cookie. Over TLS it carries the prefix that keeps
// other hosts of the domain from setting it.
const (
	cookieName   = "amoskys_session"
	secureCookie = "__Host-" + cookieName
	csrfHeader   = "X-CSRF-Token"
)

// session is who a request comes from.
type session struct {
	token   string
	user    string
	role    pb.Role
	csrf    string
	expires time.Time
	// stale: the hub could not be asked, and knew the session a moment ago. It
	// opens nothing but the pages that say so.
	stale bool
}

// sessions asks the hub about tokens, and remembers its answers for when it is
// not there.
type sessions struct {
	hub *hub
	now func() time.Time

	mu     sync.Mutex // guards what follows
	known  map[[sha256.Size]byte]*list.Element
	recent *list.List // of *knownSession, most recently confirmed first
}

type knownSession struct {
	key       [sha256.Size]byte
	session   session
	confirmed time.Time
}

// Bounds on what is remembered.
const (
	maxKnown = 4_096
	knownFor = 15 * time.Minute
)

func newSessions(h *hub, now func() time.Time) *sessions {
	return &sessions{hub: h, now: now, known: map[[sha256.Size]byte]*list.Element{}, recent: list.New()}
}

// lookup returns the session of a token. The error is UNAUTHENTICATED when there
// is none, and says so if the hub cannot be asked and has not been of late.
func (s *sessions) lookup(ctx context.Context, token string) (session, error) {
	if len(token) == 0 || len(token) > 128 {
		return session{}, status.Error(codes.Unauthenticated, "sign in first")
	}
	key := sha256.Sum256([]byte(token))
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	answer, err := s.hub.accounts.Session(ctx, &pb.SessionRequest{Token: token})
	switch {
	case err == nil:
		found := session{
			token: token, user: answer.GetUser().GetName(), role: answer.GetUser().GetRole(),
			csrf: answer.GetCsrfToken(), expires: answer.GetExpiresTime().AsTime(),
		}
		s.remember(found)
		return found, nil
	case isUnreachable(err):
		if found, ok := s.recall(key); ok {
			found.stale = true
			return found, nil
		}
	case status.Code(err) == codes.Unauthenticated:
		s.forget(key)
	}
	return session{}, err
}

// remember keeps what the hub has confirmed.
func (s *sessions) remember(found session) {
	key := sha256.Sum256([]byte(found.token))
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.known[key]; ok {
		*e.Value.(*knownSession) = knownSession{key, found, s.now()}
		s.recent.MoveToFront(e)
		return
	}
	if len(s.known) >= maxKnown {
		oldest := s.recent.Back()
		delete(s.known, s.recent.Remove(oldest).(*knownSession).key)
	}
	s.known[key] = s.recent.PushFront(&knownSession{key, found, s.now()})
}

func (s *sessions) recall(key [sha256.Size]byte) (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.known[key]
	if !ok {
		return session{}, false
	}
	k := e.Value.(*knownSession)
	now := s.now()
	return k.session, now.Sub(k.confirmed) < knownFor && now.Before(k.session.expires)
}

func (s *sessions) forget(key [sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.known[key]; ok {
		s.recent.Remove(e)
		delete(s.known, key)
	}
}

// token is the session token that a request carries, empty without one. Other hosts
// of the domain cannot set the cookie with the prefix, so it is taken in any case.
func (s *Server) token(r *http.Request) string {
	cookie, err := r.Cookie(secureCookie)
	if err != nil && !s.overTLS(r) {
		cookie, err = r.Cookie(cookieName)
	}
	if err != nil {
		return ""
	}
	return cookie.Value
}

// cookie makes the session cookie for whom r comes from; an empty token makes one
// that ends it.
func (s *Server) cookie(r *http.Request, token string, expires time.Time) *http.Cookie {
	c := &http.Cookie{ // without TLS there is no Secure: browsers would not send it back
		Name: cookieName, Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
	if s.overTLS(r) {
		c.Name, c.Secure = secureCookie, true
	}
	if token == "" {
		c.MaxAge = -1
		return c
	}
	life := min(expires.Sub(s.o.Now()), time.Duration(s.o.Config.Session.MaxHours)*time.Hour)
	c.MaxAge = max(int(life.Seconds()), 1)
	return c
}

// validCSRF says whether a request carries its session's token.
func (found *session) validCSRF(r *http.Request) bool {
	given := r.Header.Get(csrfHeader)
	return given != "" && subtle.ConstantTimeCompare([]byte(given), []byte(found.csrf)) == 1
}

type sessionKey struct{}

// sessionOf returns the session that the middleware found.
func sessionOf(ctx context.Context) session {
	found, _ := ctx.Value(sessionKey{}).(session)
	return found
}

func roleText(r pb.Role) string {
	switch r {
	case pb.Role_ROLE_VIEWER:
		return "viewer"
	case pb.Role_ROLE_ANALYST:
		return "analyst"
	case pb.Role_ROLE_ADMIN:
		return "admin"
	case pb.Role_ROLE_UNSPECIFIED:
	}
	return "none"
}
