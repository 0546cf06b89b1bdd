package bench

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
)

// issuer makes certificates for hosts that only a measurement knows.
type issuer struct {
	ca        *identity.CA
	authority []byte // ca.crt
}

// newIssuer reads the authority with its key from a certs/ folder.
func newIssuer(certs string) (*issuer, error) {
	files := identity.FilesFor(certs, "ca")
	ca, err := identity.LoadCA(files.CA, files.Key)
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(files.CA)
	if err != nil {
		return nil, fmt.Errorf("read the authority: %w", err)
	}
	return &issuer{ca, authority}, nil
}

// issue writes certificates of the roles for a host into the home of its own.
func (i *issuer) issue(home config.Home, host string, roles ...identity.Role) error {
	if err := os.MkdirAll(home.Certs(), 0o700); err != nil {
		return fmt.Errorf("make certificates for %s: %w", host, err)
	}
	err := os.WriteFile(filepath.Join(home.Certs(), "ca.crt"), i.authority, 0o600)
	for _, role := range roles {
		pair, issued := i.ca.Issue(identity.IssueOptions{ID: identity.ID{Domain: i.ca.Domain(), Role: role, Name: host}})
		if issued != nil {
			return issued
		}
		files := identity.FilesFor(home.Certs(), string(role))
		err = errors.Join(err, os.WriteFile(files.Cert, pair.CertPEM, 0o600), os.WriteFile(files.Key, pair.KeyPEM, 0o600))
	}
	return err
}

// clientOf is the configuration of a host's connections with the certificate of a role.
func clientOf(home config.Home, role identity.Role, server string) (*tls.Config, error) {
	return identity.ClientConfig(identity.FilesFor(home.Certs(), string(role)), identity.ClientOptions{ServerName: server})
}
