package endpoint

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/app/endpoint/bundle"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/node"
	"github.com/amoskys/amoskys/internal/obs"
)

// maxMetrics is how much of an agent's metrics goes into a bundle, bytes.
const maxMetrics = 1 << 20

// Settings are those of a process beside the agents: a name, and the struct that its file
// was read into.
type Settings struct {
	Name   string
	Config any
}

const bundleText = `This is what amoskys doctor --bundle gathered for whoever is to help.

doctor.json        what the doctor found
versions.json      the program and the machine
agents.json        what each agent says of itself
metrics/ID.txt     its metrics
settings/NAME.json settings in force, with where each comes from
certificates.json  certificates without keys
files.json         which files there are, without their content
logs/              the end of each log (*.log; files.json has those of before)
left-out.txt       what is missing here, and why

Secrets of the configuration, keys, tokens and what looks like a password are taken out,
and stand as [redacted], in names of files too. Names of hosts, addresses, users and command lines in logs are
not: look through it before you give it away.
`

// writeBundle gathers what helps to understand a home, and writes it to a file.
func (d *doctor) writeBundle(ctx context.Context, to string, checks []Check, more []Settings) (left []string, size int64, err error) {
	settings := d.settings(more)
	r, err := d.redactor(settings)
	if err != nil {
		return nil, 0, err
	}
	w, err := bundle.Create(to, r, d.env.Now())
	if err != nil {
		return nil, 0, err
	}
	if err := d.fill(ctx, w, checks, settings); err != nil {
		w.Abandon()
		return nil, 0, err
	}
	size, err = w.Close()
	return w.Left(), size, err
}

// redactor knows the secrets of this home.
func (d *doctor) redactor(settings []Settings) (*bundle.Redactor, error) {
	r, err := bundle.NewRedactor()
	if err != nil {
		return nil, fmt.Errorf("prepare to take out secrets: %w", err)
	}
	for _, s := range settings {
		r.AddSettings(s.Config, d.env.Home)
	}
	r.AddConfig(d.env.Home.Config(), d.env.Home)
	r.AddKeys(d.env.Home.Certs())
	r.AddEnvironment(os.Environ())
	return r, nil
}

// settings are those of node and agents, and more.
func (d *doctor) settings(more []Settings) []Settings {
	var all []Settings
	cfg := node.DefaultConfig()
	if err := config.Load(d.env.Home.NodeConfig(), &cfg, config.DecodeOptions{Env: d.env.Lookup}); err == nil {
		all = append(all, Settings{"node", cfg})
	}
	for _, a := range d.agentsKnown {
		all = append(all, Settings{a.Common.ID, a.Config})
	}
	for _, s := range more { // Programs that have all roles name the node too.
		if !slices.ContainsFunc(all, func(have Settings) bool { return have.Name == s.Name }) {
			all = append(all, s)
		}
	}
	return all
}

func (d *doctor) fill(ctx context.Context, w *bundle.Writer, checks []Check, settings []Settings) error {
	home := d.env.Home
	host, _ := os.Hostname()
	errs := []error{
		w.Add("README.txt", []byte(bundleText)),
		w.AddJSON("doctor.json", map[string]any{"time": d.env.Now().UTC().Format(time.RFC3339), "checks": checks}),
		w.AddJSON("versions.json", map[string]any{
			"build": obs.ReadBuild(), "kernel": kernelName(), "processors": runtime.NumCPU(), "host": host, "home": string(home),
			"system": systemName(),
		}),
		w.AddJSON("agents.json", d.status),
		w.AddJSON("certificates.json", certificatesOf(home.Certs())),
	}
	for _, s := range settings {
		errs = append(errs, w.AddJSON("settings/"+s.Name+".json", config.Entries(s.Config, nil)))
	}
	for _, c := range checks {
		if c.Name == checkConfig && c.Verdict == VerdictFail {
			w.Leave("settings", "of some file there are none, for it has a fault: see doctor.json")
			break
		}
	}
	for _, l := range d.status {
		name := "metrics/" + l.ID + ".txt"
		text, err := metricsOf(ctx, l.Port)
		if err != nil {
			w.Leave(name, "the agent gives none: "+cmp.Or(l.Error, err.Error()))
			continue
		}
		errs = append(errs, w.Add(name, text))
	}
	return errors.Join(append(errs, w.AddListing("files.json", string(home)), w.AddLogs(home.Logs()))...)
}

// systemName is what the system calls itself (os-release(5)).
func systemName() string {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return runtime.GOOS
	}
	return string(text[:min(len(text), 4096)])
}

// metricsOf asks an agent of this machine.
func metricsOf(ctx context.Context, port int) ([]byte, error) {
	if port <= 0 {
		return nil, errors.New("it does not run")
	}
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", port), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask for metrics: %w", err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial.Direct}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for metrics: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask for metrics: %s", resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxMetrics))
}

// certificate is what a bundle says of one.
type certificate struct {
	File      string   `json:"file"`
	Subject   string   `json:"subject,omitempty"`
	Issuer    string   `json:"issuer,omitempty"`
	Names     []string `json:"names,omitempty"`
	NotBefore string   `json:"not_before,omitempty"`
	NotAfter  string   `json:"not_after,omitempty"`
	SHA256    string   `json:"sha256,omitempty"`
	Error     string   `json:"error,omitempty"`
}

func certificatesOf(dir string) []certificate {
	names, _ := filepath.Glob(filepath.Join(dir, "*.crt")) // The pattern is sound.
	out := make([]certificate, 0, len(names))
	for _, name := range names {
		c := certificate{File: filepath.Base(name)}
		if err := c.read(name); err != nil {
			c.Error = err.Error()
		}
		out = append(out, c)
	}
	return out
}

func (c *certificate) read(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return errors.New("no certificate in PEM")
	}
	x, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(x.Raw)
	c.Subject, c.Issuer, c.SHA256 = x.Subject.String(), x.Issuer.String(), hex.EncodeToString(sum[:])
	c.NotBefore, c.NotAfter = x.NotBefore.UTC().Format(time.RFC3339), x.NotAfter.UTC().Format(time.RFC3339)
	c.Names = append(c.Names, x.DNSNames...)
	for _, ip := range x.IPAddresses {
		c.Names = append(c.Names, ip.String())
	}
	for _, u := range x.URIs {
		c.Names = append(c.Names, u.String())
	}
	return nil
}

// tellBundle says where it lies, on standard error, since standard output may be JSON.
func tellBundle(e *cli.Env, to string, left []string, size int64) {
	fmt.Fprintf(e.Stderr, "wrote %s (%s): look through it before you give it away\n", to, cli.Bytes(uint64(size)))
	for _, what := range left {
		fmt.Fprintln(e.Stderr, "left out:", cli.Clean(what))
	}
}
