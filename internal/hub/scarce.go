package hub

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/obs"
)

// Reasons of eventbus_errors_total for what was refused because there is no more
// of it. Handshakes that had to give way count as overloaded.
const (
	refusedConnection   = "too_many_connections"             // server.max_connections
	refusedOfIdentity   = "too_many_connections_of_identity" // a certificate's share of them
	refusedCall         = "too_many_calls_of_identity"       // a certificate's share of calls of a method
	refusedEnrolment    = "too_many_enrolments"
	refusedScrape       = "too_many_scrapes"
	shortOfDescriptors  = "no_descriptors"
	scarceFor           = time.Minute      // how long a refusal is a reason for the state of the hub
	descriptorsEvery    = 10 * time.Second // how often they are counted
	descriptorsPerTenth = 9                // tenths of the descriptors that may be open before it is said
)

func scarceReasons() []string {
	return []string{
		refusedConnection, refusedOfIdentity, refusedCall, refusedEnrolment, refusedScrape, shortOfDescriptors,
	}
}

// scarce counts and logs what is refused for want of room, and says it in the state
// of the hub while it is news.
type scarce struct {
	failed func(reason string)
	log    *limit.Log
	now    func() time.Time

	mu      sync.Mutex // guards what follows
	news    map[string]scarceNews
	counted time.Time // when descriptors were
	open    int
}

type scarceNews struct {
	at   time.Time
	text string
}

func newScarce(failed func(string), logger *slog.Logger, now func() time.Time) *scarce {
	return &scarce{failed: failed, log: limit.NewLog(logger, now), now: now, news: map[string]scarceNews{}}
}

// connection notes that a peer was refused; most is what bounds it.
func (s *scarce) connection(id identity.ID, from net.Addr, most int, err error) {
	reason, text := refusedConnection, fmt.Sprintf("connections are refused: there are as many as server.max_connections allows, %d", most)
	if errors.Is(err, limit.ErrShare) {
		reason, text = refusedOfIdentity, fmt.Sprintf("connections of %s are refused: it has as many as one certificate may, %d", clip(id.String()), most)
	}
	s.failed(reason)
	s.say(reason, text)
	s.log.Warn(reason, "connection refused", slog.String(obs.KeyReason, reason), slog.String(obs.KeyPeer, from.String()),
		slog.String(obs.KeyIdentity, id.String()))
}

// port returns what listeners of a port tell of connections, by reason.
func (s *scarce) port(reason string) limit.ListenerOptions {
	return limit.ListenerOptions{
		Known: isLoopbackNetwork, Shortage: s.shortage,
		Refused: func(from net.Addr, _ error) { s.stranger(reason, from) },
	}
}

// stranger notes that a connection of an address was refused, or made to give way.
func (s *scarce) stranger(reason string, from net.Addr) {
	s.failed(reason)
	s.log.Warn(reason, "connection refused", slog.String(obs.KeyReason, reason), slog.String(obs.KeyPeer, from.String()))
}

// shortage notes that a connection could not be accepted.
func (s *scarce) shortage(err error) {
	s.failed(shortOfDescriptors)
	s.say(shortOfDescriptors, fmt.Sprintf("connections cannot be accepted (%v): the process may have %d files and connections open; "+
		"raise the limit (LimitNOFILE, ulimit -n)", err, limit.MaxDescriptors()))
	s.log.Warn(shortOfDescriptors, "connection not accepted", slog.Any(obs.KeyError, err), slog.Int("descriptors_max", limit.MaxDescriptors()))
}

func (s *scarce) say(reason, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.news[reason] = scarceNews{at: s.now(), text: text}
}

// reasons says what is scarce now, one sentence each.
func (s *scarce) reasons() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	var out []string
	for _, reason := range scarceReasons() {
		if n, ok := s.news[reason]; ok && now.Sub(n.at) < scarceFor {
			out = append(out, n.text)
		}
	}
	if since := now.Sub(s.counted); since < 0 || since >= descriptorsEvery {
		s.counted, s.open = now, limit.OpenDescriptors()
	}
	if most := limit.MaxDescriptors(); most > 0 && s.open >= most/10*descriptorsPerTenth {
		out = append(out, fmt.Sprintf("%d of the %d files and connections that the process may have are open: "+
			"raise the limit (LimitNOFILE, ulimit -n) or lower server.max_connections", s.open, most))
	}
	return out
}
