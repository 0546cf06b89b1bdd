package dashboard

import (
	"context"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/obs"
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
	Grafana   *Grafana  `json:"grafana,omitempty" doc:"Where the same metrics are in Grafana; absent where nobody named it."`
}

// Grafana is where pages link to.
type Grafana struct {
	URL        string `json:"url"`
	DataSource string `json:"datasource" doc:"Uid of its data source that asks this system."`
}

// grafana is the Grafana that the configuration names, nil without.
func (s *Server) grafana() *Grafana {
	c := s.o.Config.Grafana
	if c.URL == "" {
		return nil
	}
	return &Grafana{strings.TrimRight(c.URL, "/"), c.DataSource}
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

type requestKey struct{}

// requestOf is the request that is being handled.
func requestOf(ctx context.Context) (*http.Request, error) {
	r, ok := ctx.Value(requestKey{}).(*http.Request)
	if !ok {
		return nil, problem(http.StatusInternalServerError, "the request was lost")
	}
	return r, nil
}

func (s *Server) login(ctx context.Context, in *loginInput) (*loginOutput, error) {
	r, err := requestOf(ctx)
	if err != nil {
		return nil, err
	}
	opened, err := s.open(ctx, r, in.Body.Username, in.Body.Password)
	if status.Code(err) == codes.Unauthenticated {
		return nil, problem(http.StatusUnauthorized, "wrong name or password")
	}
	if err != nil {
		return nil, err
	}
	noteUser(ctx, opened.user)
	return &loginOutput{
		SetCookie: *s.cookie(r, opened.token, opened.expires),
		Body: Session{
			User: User{opened.user, roleText(opened.role)}, CSRFToken: opened.csrf, ExpiresAt: opened.expires, Version: s.o.Version, Grafana: s.grafana(),
		},
	}, nil
}

// present says who is signed in.
func (s *Server) present(ctx context.Context, _ *struct{}) (Session, error) {
	found := sessionOf(ctx)
	return Session{
		User: User{found.user, roleText(found.role)}, CSRFToken: found.csrf, ExpiresAt: found.expires, Version: s.o.Version, Grafana: s.grafana(),
	}, nil
}

func (s *Server) logout(ctx context.Context, _ *struct{}) (*logoutOutput, error) {
	r, err := requestOf(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	if _, err := s.hub.accounts.Logout(ctx, &pb.LogoutRequest{Token: sessionOf(ctx).token}); err != nil {
		return nil, err
	}
	s.tabs.recheck(sessionOf(ctx).user)
	return &logoutOutput{SetCookie: *s.cookie(r, "", time.Time{})}, nil
}

func (s *Server) changePassword(ctx context.Context, in *passwordInput) (*struct{}, error) {
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	_, err := s.hub.accounts.ChangePassword(ctx, &pb.ChangePasswordRequest{
		Token: sessionOf(ctx).token, OldPassword: in.Body.OldPassword, NewPassword: in.Body.NewPassword,
	})
	if err != nil {
		return nil, err
	}
	s.tabs.recheck(sessionOf(ctx).user)
	return nil, nil //nolint:nilnil // nothing to say: 204
}

// Health is what a load balancer asks for.
type Health struct {
	Status  string     `json:"status" enum:"ok"`
	Version string     `json:"version,omitempty" doc:"Told to this machine alone."`
	Hub     *HubHealth `json:"hub,omitempty" doc:"Told to this machine alone."`
}

// HubHealth is whether the hub is connected.
type HubHealth struct {
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since"`
}

// health tells strangers that this dashboard serves, and nothing more.
func (s *Server) health(ctx context.Context, _ *struct{}) (Health, error) {
	if r, _ := ctx.Value(requestKey{}).(*http.Request); r == nil || !obs.IsFromHere(r) {
		return Health{Status: "ok"}, nil
	}
	connected, since, _ := s.hub.state()
	return Health{Status: "ok", Version: s.o.Version, Hub: &HubHealth{connected, since.UTC()}}, nil
}
