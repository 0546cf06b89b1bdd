package dashboard

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// User is who is signed in.
type User struct {
	Name string `json:"name"`
	Role string `json:"role" enum:"viewer,analyst,admin"`
}

// Session is a login.
type Session struct {
	User      User      `json:"user"`
	CSRFToken string    `json:"csrf_token" doc:"For the X-CSRF-Token header of every request but GET."`
	ExpiresAt time.Time `json:"expires_at"`
	Version   string    `json:"version" doc:"Version of the dashboard."`
}

type loginInput struct {
	Body struct {
		Username string `json:"username" minLength:"1" maxLength:"64"`
		Password string `json:"password" minLength:"1" maxLength:"256"`
	}
}

type loginOutput struct {
	SetCookie http.Cookie `header:"Set-Cookie"`
	Body      Session
}

type passwordInput struct {
	Body struct {
		OldPassword string `json:"old_password" minLength:"1" maxLength:"256"`
		NewPassword string `json:"new_password" minLength:"1" maxLength:"256"`
	}
}

type logoutOutput struct {
	SetCookie http.Cookie `header:"Set-Cookie"`
}

func (s *Server) registerSession(api huma.API) {
	login := operation(http.MethodPost, "/api/login", "login", "Sign in", "session", access{})
	login.Errors = []int{http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusServiceUnavailable}
	login.Middlewares = huma.Middlewares{keepRequest}
	huma.Register(api, login, s.login)
	anyone := access{role: pb.Role_ROLE_VIEWER, stale: true}
	get(s, api, operation(http.MethodGet, "/api/session", "session", "Who is signed in", "session", anyone),
		func(ctx context.Context, _ *struct{}) (Session, error) {
			found := sessionOf(ctx)
			return Session{
				User: User{found.user, roleText(found.role)}, CSRFToken: found.csrf, ExpiresAt: found.expires, Version: s.o.Version,
			}, nil
		})
	logout := operation(http.MethodPost, "/api/logout", "logout", "Sign out", "session", viewer())
	logout.DefaultStatus = http.StatusNoContent
	huma.Register(api, logout, s.logout)
	change := operation(http.MethodPost, "/api/password", "changePassword", "Change the own password", "session", viewer())
	change.DefaultStatus = http.StatusNoContent
	change.Errors = append(change.Errors, http.StatusBadRequest, http.StatusTooManyRequests)
	huma.Register(api, change, s.changePassword)
	health := operation(http.MethodGet, "/api/health", "health", "Whether this dashboard serves, for load balancers", "session", access{})
	get(s, api, health, func(context.Context, *struct{}) (Health, error) { return s.health(), nil })
}

type requestKey struct{}

// keepRequest gives an operation its request.
func keepRequest(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	next(huma.WithValue(ctx, requestKey{}, r))
}

func (s *Server) login(ctx context.Context, in *loginInput) (*loginOutput, error) {
	r, _ := ctx.Value(requestKey{}).(*http.Request)
	if r == nil {
		return nil, problem(http.StatusInternalServerError, "the request was lost")
	}
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	opened, err := s.hub.accounts.Login(ctx, &pb.LoginRequest{
		Name: in.Body.Username, Password: in.Body.Password, SrcIp: s.clientIP(r), UserAgent: valid(r.UserAgent()),
	})
	if status.Code(err) == codes.Unauthenticated {
		return nil, problem(http.StatusUnauthorized, "wrong name or password")
	}
	if err != nil {
		return nil, s.hubProblem(err)
	}
	expires := opened.GetExpiresTime().AsTime()
	noteUser(ctx, opened.GetUser().GetName())
	s.sessions.remember(session{
		token: opened.GetToken(), user: opened.GetUser().GetName(), role: opened.GetUser().GetRole(),
		csrf: opened.GetCsrfToken(), expires: expires,
	})
	return &loginOutput{
		SetCookie: *s.cookie(opened.GetToken(), expires),
		Body: Session{
			User:      User{opened.GetUser().GetName(), roleText(opened.GetUser().GetRole())},
			CSRFToken: opened.GetCsrfToken(), ExpiresAt: expires, Version: s.o.Version,
		},
	}, nil
}

func (s *Server) logout(ctx context.Context, _ *struct{}) (*logoutOutput, error) {
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	if _, err := s.hub.accounts.Logout(ctx, &pb.LogoutRequest{Token: sessionOf(ctx).token}); err != nil {
		return nil, s.hubProblem(err)
	}
	s.tabs.recheck(sessionOf(ctx).user)
	return &logoutOutput{SetCookie: *s.cookie("", time.Time{})}, nil
}

func (s *Server) changePassword(ctx context.Context, in *passwordInput) (*struct{}, error) {
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	_, err := s.hub.accounts.ChangePassword(ctx, &pb.ChangePasswordRequest{
		Token: sessionOf(ctx).token, OldPassword: in.Body.OldPassword, NewPassword: in.Body.NewPassword,
	})
	if err != nil {
		return nil, s.hubProblem(err)
	}
	s.tabs.recheck(sessionOf(ctx).user)
	return nil, nil //nolint:nilnil // nothing to say: 204
}

// Health is what a load balancer asks for.
type Health struct {
	Status  string    `json:"status" enum:"ok"`
	Version string    `json:"version"`
	Hub     HubHealth `json:"hub"`
}

// HubHealth is whether the hub is connected.
type HubHealth struct {
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since"`
}

func (s *Server) health() Health {
	connected, since, _ := s.hub.state()
	return Health{Status: "ok", Version: s.o.Version, Hub: HubHealth{connected, since.UTC()}}
}
