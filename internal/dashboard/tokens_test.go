package dashboard_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/dashboard"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// enroller makes tokens as the hub does, whose own tests are in internal/app.
type enroller struct {
	pb.UnimplementedEnrollmentServer
}

func (enroller) CreateToken(_ context.Context, req *pb.CreateTokenRequest) (*pb.CreateTokenResponse, error) {
	if strings.Contains(req.GetHost(), "/") {
		return nil, status.Error(codes.InvalidArgument, "the name of a host has no /")
	}
	return &pb.CreateTokenResponse{
		Token: "amk1_secret", Hub: "hub1:5000", HubNote: "cannot be known",
		Info: &pb.EnrollmentToken{Id: "7", Host: strings.ToLower(req.GetHost()), CreatedBy: req.GetActor()},
	}, nil
}

func TestMakeToken(t *testing.T) {
	s := newSite(t)
	c := s.signedIn(t, "admin")
	var made dashboard.MadeToken
	if code := c.do("POST", "/api/tokens", map[string]string{"host": "Web-1"}, &made); code != 200 {
		t.Fatalf("answered %d", code)
	}
	if want := "amoskys-agent enroll --hub hub1:5000 --token amk1_secret --host web-1"; made.Command != want || made.Note == "" || made.ID != "7" {
		t.Errorf("made %+v, want the command %q", made, want)
	}
	if code := c.do("POST", "/api/tokens", map[string]string{}, &made); code != 200 || strings.Contains(made.Command, "--host") {
		t.Errorf("for any host: %d %+v", code, made)
	}
	if code := c.do("POST", "/api/tokens", map[string]string{"host": "a/b"}, nil); code != 400 {
		t.Errorf("a bad name: %d", code)
	}
	if code := s.signedIn(t, "analyst").do("POST", "/api/tokens", map[string]string{}, nil); code != 403 {
		t.Errorf("as an analyst: %d", code)
	}
}
