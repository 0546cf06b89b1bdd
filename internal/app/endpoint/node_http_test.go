package endpoint

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
)

// TestNodeAnswersProbes where its configuration gives a port: it is well without a
// hub and with an agent that does not start, and says so to this machine.
func TestNodeAnswersProbes(t *testing.T) {
	e, _ := patient(t)
	e.Logger = obs.Discard()
	port := freePort(t)
	write(t, e.Home.NodeConfig(), "node: {http: {port: "+strconv.Itoa(port)+"}}\n")
	write(t, e.Home.AgentConfig("process_monitor"), "agent: {enabled: 7}\n")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- RunNode(ctx, e, NodeOptions{Agents: []string{"proc"}}) }()
	var h obs.Health
	for deadline := time.Now().Add(10 * time.Second); ; {
		var err error
		if h, err = healthOf(ctx, port); err == nil && len(h.Reasons) == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v, %v", h, err)
		}
		<-time.After(10 * time.Millisecond)
	}
	if !h.OK || h.State != "degraded" || h.Reasons[0] != "the hub is not connected" {
		t.Errorf("%+v", h)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func healthOf(ctx context.Context, port int) (h obs.Health, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost:"+strconv.Itoa(port)+"/healthz", http.NoBody)
	if err != nil {
		return h, err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		return h, err
	}
	defer func() { _ = resp.Body.Close() }()
	return h, json.NewDecoder(resp.Body).Decode(&h)
}
