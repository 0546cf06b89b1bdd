package app

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/amoskys/amoskys/deploy/k8s"
	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/identity"
)

// Cluster is a Kubernetes cluster for which certificates are made and written as Secrets.
type Cluster struct {
	Out       string // file of the Secrets; "-" is standard output
	Namespace string // of hub, store and dashboards
	Agents    string // namespace of agents that look at machines
}

// DefaultCluster is the one that the manifests in deploy/k8s are for.
func DefaultCluster() Cluster {
	return Cluster{Out: "secret-tls.yaml", Namespace: k8s.Namespace, Agents: k8s.AgentsNamespace}
}

// EnsureCertificates makes the certificates of hub, store, dashboards and operator that are
// missing, each in the name of its Service, and the join token.
func (c Cluster) EnsureCertificates(env *cli.Env, o identity.LayoutOptions) (identity.LayoutReport, error) {
	dir := endpoint.CertsDir(env)
	all := identity.LayoutReport{Dir: dir, Created: []string{}, Kept: []string{}, Due: []string{}, Warnings: []string{}}
	if len(o.With) > 0 {
		return all, cli.Usagef("--with makes certificates that no Secret has: leave it out, or --k8s")
	}
	o.Canonical = func(string) string { return "" }
	given := o.Hosts
	for _, name := range k8s.Leaves() {
		o.Names, o.Host = []string{name}, name
		o.Hosts = append(k8s.HubHosts(name, c.Namespace)[1:], given...)
		report, err := identity.EnsureLayout(dir, o)
		if err != nil {
			return all, err
		}
		all.Created, all.Due = append(all.Created, report.Created...), append(all.Due, report.Due...)
		all.Kept, all.Warnings = append(all.Kept, report.Kept...), append(all.Warnings, report.Warnings...)
		if name != "operator" {
			if err := reachedBy(dir, name, o.Hosts); err != nil {
				return all, err
			}
		}
	}
	made, err := ensureToken(dir)
	if made {
		all.Created = append(all.Created, k8s.TokenFile)
	}
	return all, err
}

// reachedBy says which name a certificate lacks that was there already.
func reachedBy(dir, name string, hosts []string) error {
	held, err := identity.Hold(identity.FilesFor(dir, name))
	if err != nil {
		return err
	}
	for _, host := range hosts {
		if held.Cert.VerifyHostname(host) != nil {
			return fmt.Errorf("%s does not name %s, by which a cluster reaches it: use a folder of its own (--home), or amoskys certs renew %s --host %[2]s",
				filepath.Join(dir, name+".crt"), host, name)
		}
	}
	return nil
}

// ensureToken makes the join token of a folder that has none. It pins the authority, so
// that one that was made for another is made anew.
func ensureToken(dir string) (made bool, err error) {
	text, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return false, fmt.Errorf("make a join token: %w", err)
	}
	roots, err := identity.ParseCertificates(text)
	if err != nil {
		return false, fmt.Errorf("make a join token: %s: %w", filepath.Join(dir, "ca.crt"), err)
	}
	file := filepath.Join(dir, k8s.TokenFile)
	if old, err := os.ReadFile(file); err == nil && ofAuthority(string(old), roots) {
		return false, nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("read the join token: %w", err)
	}
	return true, replaceSecretly(file, []byte(identity.NewToken(roots[0]).Text()))
}

func ofAuthority(text string, roots []*x509.Certificate) bool {
	token, err := identity.ParseToken(text)
	return err == nil && token.Pin == identity.PinOf(roots[0])
}

// replaceSecretly writes a file that its owner alone reads, as a whole or not at all.
func replaceSecretly(file string, text []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(file), ".new-*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer func() { _ = os.Remove(temp.Name()) }() // gone already when all went well
	_, err = temp.Write(text)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err == nil {
		err = os.Rename(temp.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// WriteSecrets writes them, and says what comes next. ttl is the life of certificates, 0 the
// usual one.
func (c Cluster) WriteSecrets(env *cli.Env, ttl time.Duration) error {
	text, err := k8s.Secrets(endpoint.CertsDir(env), c.Namespace, c.Agents)
	if err != nil {
		return err
	}
	if c.Out == "-" {
		_, err := env.Stdout.Write(text)
		return err
	}
	if err := replaceSecretly(c.Out, text); err != nil {
		return err
	}
	if ttl == 0 {
		ttl = identity.DefaultLeafTTL
	}
	_, err = fmt.Fprintf(env.Stdout, `wrote %s, which has keys: keep it as you keep keys
next: kubectl apply -f %[1]s
      kubectl apply -k deploy/k8s          (or the Helm chart, deploy/helm/amoskys)
Certificates end after %d days: before that, amoskys certs renew --all --due, and the same again.
`, c.Out, int(ttl.Hours()/24))
	return err
}
