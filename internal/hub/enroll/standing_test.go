package enroll

import (
	"context"
	"encoding/hex"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/hub/certificates"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

type trail struct{ acts []string }

func (a *trail) Audit(_ context.Context, act *pb.AuditActivity) {
	a.acts = append(a.acts, act.GetOperation())
}

// TestStandingToken: a token works while it stands in the configuration, for any number of
// hosts and weeks, and ends with it.
func TestStandingToken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := identity.EnsureLayout(dir, identity.LayoutOptions{Names: []string{"eventbus"}, Host: "h", Canonical: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	files := identity.FilesFor(dir, "ca")
	ca, err := identity.LoadCA(files.CA, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	db, err := state.Open(t.Context(), state.Options{File: filepath.Join(t.TempDir(), "state.db"), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	audited := &trail{}
	s := New(Options{
		Store: db, Auditor: audited, Now: func() time.Time { return now },
		Issuer: certificates.NewIssuer(certificates.IssuerOptions{CACert: files.CA, CAKey: files.Key, Store: db}),
	})
	text, wrong := "", error(nil)
	stand := func() error {
		return s.stand(t.Context(), Standing{Read: func() (string, error) { return text, wrong }, HostPattern: "node-*"})
	}
	works := func(token identity.Token) bool { _, err := s.known(t.Context(), token); return err == nil }
	first, second := identity.NewToken(ca.Cert), identity.NewToken(ca.Cert)

	if err := stand(); err != nil {
		t.Errorf("no token at all: %v", err)
	}
	text = first.Text() + "\n"
	if err := stand(); err != nil || !works(first) {
		t.Fatalf("the token does not work: %v", err)
	}
	if err := db.Enrol(t.Context(), first.ID, first.SecretHash(), "node-1", "x"); err != nil {
		t.Fatal(err)
	}
	for range 100 { // hours
		now = now.Add(standingRenew)
		if err := stand(); err != nil || !works(first) {
			t.Fatalf("the token works no more: %v", err)
		}
	}
	if kept, err := db.Token(t.Context(), first.ID); err != nil || kept.UsedCount != 1 || kept.Uses-kept.UsedCount != maxUses || kept.HostPattern != "node-*" {
		t.Errorf("kept is %+v, %v", kept, err)
	}
	_, err = s.RevokeToken(t.Context(), &pb.RevokeTokenRequest{Id: hex.EncodeToString(first.ID[:])})
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "enrollment.join_token") {
		t.Errorf("it was revoked, to come back within a minute: %v", err)
	}
	wrong = errors.New("no such file")
	if err := stand(); err == nil || !works(first) {
		t.Errorf("a volume that is away for a moment ended it: %v", err)
	}
	text, wrong = second.Text(), nil
	if err := stand(); err != nil || works(first) || !works(second) {
		t.Errorf("after another took its place: %v", err)
	}
	other, _, err := identity.CreateCA(identity.CAOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for bad, says := range map[string]string{identity.NewToken(other.Cert).Text(): "another authority", "amk1_x": "not a whole enrolment token"} {
		text = bad
		if err := stand(); err == nil || !strings.Contains(err.Error(), says) || !works(second) {
			t.Errorf("%.10s…: %v", bad, err)
		}
	}
	text = ""
	if err := stand(); err != nil || works(second) {
		t.Errorf("it works although it was taken away: %v", err)
	}
	// One that is taken away, or changed, while the hub is stopped ends when it starts.
	for _, now := range []string{"", identity.NewToken(ca.Cert).Text()} {
		text = first.Text()
		if err := stand(); err != nil || !works(first) {
			t.Fatalf("it does not work again: %v", err)
		}
		text = now
		s = New(s.o)
		if err := stand(); err != nil || works(first) {
			t.Errorf("it works although it was taken away meanwhile: %v", err)
		}
	}
	s = New(s.o)
	if err := s.stand(t.Context(), Standing{}); err != nil {
		t.Errorf("the configuration names none any more: %v", err)
	}
	if left, err := db.Tokens(t.Context()); err != nil || slices.ContainsFunc(left, func(t state.Token) bool { return !t.Spent() && now.Before(t.Expires) }) {
		t.Errorf("left are %+v, %v", left, err)
	}
	if got := strings.Join(audited.acts, " "); got != strings.TrimSpace(strings.Repeat("token.create token.revoke ", 5)) {
		t.Errorf("audited: %s", got)
	}
}
