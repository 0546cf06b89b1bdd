package endpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/node"
)

// localTimeout bounds the look at one agent of this host.
const localTimeout = 2 * time.Second

// Local is one agent of this host as it sees itself. Error says why it was not
// reached; Status is then only its name.
type Local struct {
	agent.Status

	Error string `json:"error,omitempty"`
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
	client := &http.Client{Timeout: localTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	out := make([]Local, 0, len(agents))
	for _, a := range agents {
		l := Local{Status: agent.Status{ID: a.ID, Kind: a.Kind, State: "stopped"}}
		s, err := a.Settings()
		if err == nil {
			err = ask(ctx, client, s.Addr, &l.Status)
		}
		if err != nil {
			l.Error = err.Error()
		}
		out = append(out, l)
	}
	return out, nil
}

func ask(ctx context.Context, client *http.Client, addr string, into *agent.Status) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+node.Reachable(addr)+"/status", http.NoBody)
	if err != nil {
		return fmt.Errorf("ask agent: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("does not answer on %s: is the node running?", addr)
	}
	defer resp.Body.Close()
	var s agent.Status
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&s); err != nil {
		return fmt.Errorf("port %s answers, but not as an agent", addr)
	}
	if s.ID != into.ID {
		return fmt.Errorf("port %s is held by agent %s", addr, s.ID)
	}
	*into = s
	return nil
}
