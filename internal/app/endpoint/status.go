package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/identity/hostname"
	"github.com/amoskys/amoskys/internal/node"
	"github.com/amoskys/amoskys/internal/node/child"
)

// localTimeout bounds the look at one agent of this host.
const localTimeout = 2 * time.Second

// Local is one agent of this host as it sees itself. Error says why it was not
// reached; Status is then only its name.
type Local struct {
	agent.Status

	Error  string `json:"error,omitempty"`
	silent bool   // nothing answers on its port
	// off is set where it is not to run here: what it lacks, or that nobody wants it.
	off *whyOff
}

// whyOff says why an agent that does not answer is not expected to.
type whyOff struct {
	lacks    []string // privileges that this process has not, and so neither a node that it starts
	uses     []string // privileges that the agent makes use of beside
	disabled bool     // by its configuration
}

// LocalStatus asks every agent that this host's node runs, on its own port.
func LocalStatus(ctx context.Context, e *cli.Env) ([]Local, error) {
	cfg := node.DefaultConfig()
	if err := config.Load(e.Home.NodeConfig(), &cfg, config.DecodeOptions{Env: e.Lookup}); err != nil {
		return nil, err
	}
	agents, err := NodeAgents(e, cfg.Node.Agents)
	if err != nil {
		return nil, err
	}
	host, _ := NodeName(e, &cfg) // empty where the configuration is at odds with the certificate: others say so
	client := &http.Client{Timeout: localTimeout, Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial.Direct}}
	out := make([]Local, 0, len(agents))
	for _, a := range agents {
		l := Local{Status: agent.Status{ID: a.ID, Kind: a.Kind, State: "stopped"}}
		s, err := a.Settings()
		if err == nil {
			err = ask(ctx, client, s.Addr, host, e.Home, &l.Status)
		}
		if err != nil {
			l.Error, l.silent = err.Error(), errors.Is(err, errSilentPort)
			if lacks := child.Missing(a.Privileges); l.silent && !s.Enabled {
				l.off = &whyOff{disabled: true}
			} else if l.silent && !s.WithoutPrivileges && len(lacks) > 0 {
				l.off = &whyOff{lacks: lacks, uses: a.Uses}
			}
		}
		out = append(out, l)
	}
	return out, nil
}

// errSilentPort says that nothing answers where an agent should.
var errSilentPort = errors.New(": is the node running?")

// ask has an agent's status, unless it is of another host or home: another
// installation on this machine.
func ask(ctx context.Context, client *http.Client, addr, host string, home config.Home, into *agent.Status) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+node.Reachable(addr)+"/status", http.NoBody)
	if err != nil {
		return fmt.Errorf("ask agent: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("does not answer on %s%w", addr, errSilentPort)
	}
	defer resp.Body.Close()
	var s agent.Status
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&s); err != nil {
		return fmt.Errorf("port %s answers, but not as an agent", addr)
	}
	if s.ID != into.ID {
		return fmt.Errorf("port %s is held by agent %s", addr, s.ID)
	}
	if host != "" && s.Host != "" && !hostname.Same(s.Host, host) {
		return fmt.Errorf("the agent on port %s is that of host %s, not of %s", addr, s.Host, host)
	}
	if s.Home != "" && !home.Same(config.Home(s.Home)) { // one of a build before says none
		return fmt.Errorf("port %s is held by the agent %s of another home, %s: give one of them another http.port", addr, s.ID, s.Home)
	}
	*into = s
	return nil
}
