package renewal_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/amoskys/amoskys/internal/agent/renewal"
	"github.com/amoskys/amoskys/internal/identity"
)

// TestPaceOfTries: tries become more frequent while a certificate runs out, and not
// for ever once it has, for each is a handshake and a line of the log.
func TestPaceOfTries(t *testing.T) {
	for name, tc := range map[string]struct {
		left     time.Duration // until the end, at the start
		over     time.Duration
		min, max int // tries
	}{
		"has ended":   {-time.Hour, 24 * time.Hour, 20, 60},
		"ends soon":   {8 * time.Minute, 7 * time.Minute, 8, 90},
		"time enough": {20 * 24 * time.Hour, 24 * time.Hour, 20, 60},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				files := certificateOf(t, 90*24*time.Hour, time.Now().Add(tc.left))
				tries := 0
				ctx, cancel := context.WithTimeout(t.Context(), tc.over)
				defer cancel()
				err := renewal.New(renewal.Options{
					Files: func() []identity.Files { return []identity.Files{files} },
					Dial:  func() (*grpc.ClientConn, error) { tries++; return nil, errors.New("no way") },
				}).Run(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if tries < tc.min || tries > tc.max {
					t.Errorf("%d tries within %v, want %d to %d", tries, tc.over, tc.min, tc.max)
				}
			})
		})
	}
}

// certificateOf makes a node's certificate that lives so long and ends then.
func certificateOf(t *testing.T, life time.Duration, end time.Time) identity.Files {
	t.Helper()
	ca, _, err := identity.CreateCA(identity.CAOptions{Now: func() time.Time { return end.Add(-life).Add(-time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(identity.IssueOptions{
		ID: identity.ID{Domain: identity.DefaultDomain, Role: identity.RoleNode, Name: "h1"}, NotBefore: end.Add(-life), TTL: life,
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := identity.Files{Cert: filepath.Join(dir, "node.crt"), Key: filepath.Join(dir, "node.key"), CA: filepath.Join(dir, "ca.crt")}
	for file, text := range map[string][]byte{files.Cert: pair.CertPEM, files.Key: pair.KeyPEM} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}
