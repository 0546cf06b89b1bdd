package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/dial"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Bounds on a look at an agent.
const (
	probeTimeout  = 1500 * time.Millisecond
	maxReportSize = 64 << 10
)

// report is what the node reads of an agent's /status page.
type report struct {
	Version string `json:"version"`
	Health  *struct {
		OK      bool     `json:"ok"`
		State   string   `json:"state"`
		Reasons []string `json:"reasons"`
	} `json:"health"`
	Notes           []string  `json:"notes"`
	EventsTotal     uint64    `json:"events_total"`
	EventsPerSecond float64   `json:"events_per_second"`
	DroppedTotal    uint64    `json:"events_dropped_total"`
	SpoolBytes      uint64    `json:"spool_bytes"`
	SpoolEvents     uint64    `json:"spool_events"`
	LastEvent       time.Time `json:"last_event_time"`
}

// healthy is false for an agent that says something is wrong with it. One that
// is degraded works and answers that it is ready, and people are to see why.
func (r report) healthy() bool {
	return r.Health == nil || r.Health.OK && r.Health.State != "degraded"
}

// why says what the agent finds wrong with itself.
func (r report) why() string {
	if r.Health == nil {
		return ""
	}
	if len(r.Health.Reasons) == 0 {
		return r.Health.State
	}
	return strings.Join(slices.Concat(r.Health.Reasons, r.Notes), "; ")
}

// notes are what the agent says of what it does, on one line.
func (r report) notes() string { return strings.Join(r.Notes, "; ") }

// fill copies the figures into a status.
func (r report) fill(s *pb.AgentStatus) {
	s.EventsTotal, s.EventsPerSecond, s.EventsDroppedTotal = r.EventsTotal, r.EventsPerSecond, r.DroppedTotal
	s.SpoolBytes, s.SpoolEvents = r.SpoolBytes, r.SpoolEvents
	if !r.LastEvent.IsZero() {
		s.LastEventTime = timestamppb.New(r.LastEvent)
	}
}

// newProbeClient keeps one connection open, so that a look costs one round trip.
func newProbeClient() *http.Client {
	return &http.Client{
		Timeout: probeTimeout,
		Transport: &http.Transport{
			DialContext: dial.Direct, MaxIdleConns: 1, MaxConnsPerHost: 1, IdleConnTimeout: 5 * time.Minute, DisableCompression: true,
		},
	}
}

// probe reads /status once.
func probe(ctx context.Context, client *http.Client, addr string) (report, error) {
	var r report
	if portOf(addr) == 0 {
		return r, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+Reachable(addr)+"/status", http.NoBody)
	if err != nil {
		return r, fmt.Errorf("look at agent: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return r, shorten(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return r, fmt.Errorf("port %d answers /status with %s: is it another program's?", portOf(addr), resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReportSize)).Decode(&r); err != nil {
		return r, fmt.Errorf("read status of agent: %w", err)
	}
	return r, nil
}

// shorten leaves out the URL that net/http puts before every error.
func shorten(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// Reachable turns the address an agent listens on into one to dial.
func Reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func portOf(addr string) int {
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0
	}
	return int(n)
}
