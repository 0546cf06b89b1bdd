// Package uplink carries batches from a spool to the hub: one gRPC stream over
// mutual TLS, opened again with back-off whenever it ends.
//
// Batches go out packed, as they lie in the spool, once the hub has said in the header
// of its response which codecs it takes; the first of a connection, and all to a hub
// that says nothing, go unpacked, as do those of the connection after one that the hub
// ended over a batch. An answer that does not account for every event of a
// batch is no proof that they are stored: it is sent again, unpacked.
//
// Batches go out in the order of their numbers, at most spool.Window ahead of the
// oldest one that is not acknowledged, and are forgotten only when the hub has
// acknowledged them. After a reconnect those without an answer are sent again
// with the same numbers; the hub stores each once. Memory stays bounded because
// batches are read from the spool when they are sent, and gRPC's flow control
// stops the reading while the hub does not take them.
package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/agent/spool"
	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Options say where batches come from and go to.
type Options struct {
	Addr    string      // host:port of the hub
	AgentID string      // goes into the metadata of the stream
	TLS     *tls.Config // nil for plain text, which is for tests and loopback only
	Spool   Batches
	Logger  *slog.Logger
	Version string // goes into the user agent
	// Unsupervised is what an agent that no node runs tells the hub of itself when it
	// connects, an encoded AgentStatus; nil where a node runs it.
	Unsupervised []byte

	// Explain turns an error of the TLS handshake into one that says what to do;
	// nil leaves it as it is.
	Explain func(error) error
	// OnAnswer is called with each answer that a batch is stored by, before it is
	// forgotten; nil for nobody.
	OnAnswer func(*pb.PublishAck)
	// GiveUp is asked after each connection or try that ended, while State still tells of
	// it; an error is what Run returns then. Nil never gives up.
	GiveUp func(why error) error
	// OnAck is called with the time between sending a batch and its answer; nil
	// for nobody.
	OnAck func(time.Duration)
	Dial  dial.Func // opens connections; nil means without a proxy
	Via   string    // the proxy that Dial goes through, for messages; empty for none

	MaxBackoff time.Duration // longest pause between tries (10 s)
	AckTimeout time.Duration // a hub that answers nothing for so long is given up (30 s)
}

// Batches are what is sent: *spool.Spool, or whatever else numbers batches as it does.
// It says there what each method means.
type Batches interface {
	Next(ctx context.Context) (spool.Batch, error)
	Ack(sequence uint64) int
	Retry(sequence uint64, pause time.Duration)
	Rewind()
	Discard(sequence uint64, cause error)
	Holds(sequence uint64) bool
	FirstTry(sequence uint64) bool
	Renew() error
}

var _ Batches = (*spool.Spool)(nil)

// State is a snapshot of the connection. Counters count since New.
type State struct {
	Addr       string
	Via        string // the proxy on the way; empty for none
	Connected  bool
	Since      time.Time // of Connected; the zero time before the first try ended
	LastError  string    // why the last connection or try ended; stays after a reconnect
	Connects   uint64    // connections that were established
	Batches    uint64    // acknowledged
	Duplicates uint64    // of them, known to the hub already
	Retries    uint64    // times the hub asked for a batch again
	Refused    map[string]uint64
	WaitSince  time.Time   // since when the hub has put off a batch; zero while it has not
	WaitReason string      // what it said then
	Codec      codec.Codec // what batches are packed with on this connection; None until the hub has said
	Unpacked   uint64      // batches sent unpacked, because the hub takes no codec of ours or has not said yet
	Short      uint64      // answers that account for fewer events than the batch has
}

// RefusedTotal is how many events the hub refused, for whatever reason.
func (s State) RefusedTotal() uint64 {
	var n uint64
	for _, c := range s.Refused {
		n += c
	}
	return n
}

// Uplink is the connection to the hub.
type Uplink struct {
	o Options

	mu      sync.Mutex // guards state, careful, sent, short and waits
	state   State
	careful bool // one batch at a time: the hub ended a stream over a batch
	sent    map[uint64]sending
	short   map[uint64]int // batches that were answered short, and how often
	waits   uint64         // the batch that state.WaitSince is about

	distrust bool            // the next session packs nothing; only sessions use it, one after another
	logged   map[string]bool // refusal reasons logged already; only the receiver uses it
}

// sending is a batch that waits for its answer.
type sending struct {
	at     time.Time
	events int
	packed bool
}

// errSilent ends a session with a hub that takes batches and answers none.
var errSilent = errors.New("the hub acknowledges nothing")

// errReused ends a session with a hub that knows a batch which is sent for the
// first time.
var errReused = errors.New("the hub knows this number from other events")

// New returns an Uplink; Run makes it work.
func New(o Options) *Uplink {
	if o.MaxBackoff <= 0 {
		o.MaxBackoff = LongestPause
	}
	if o.AckTimeout <= 0 {
		o.AckTimeout = 30 * time.Second
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return dial.Direct(ctx, "tcp", addr) }
	}
	if o.OnAck == nil {
		o.OnAck = func(time.Duration) {}
	}
	if o.OnAnswer == nil {
		o.OnAnswer = func(*pb.PublishAck) {}
	}
	if o.GiveUp == nil {
		o.GiveUp = func(error) error { return nil }
	}
	if o.Explain == nil {
		o.Explain = func(err error) error { return err }
	}
	return &Uplink{
		o:      o,
		state:  State{Addr: o.Addr, Via: o.Via, Refused: map[string]uint64{}},
		sent:   map[uint64]sending{},
		short:  map[uint64]int{},
		logged: map[string]bool{},
	}
}

// State returns a snapshot.
func (u *Uplink) State() State {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := u.state
	out.Refused = maps.Clone(u.state.Refused)
	if !out.WaitSince.IsZero() && !u.o.Spool.Holds(u.waits) {
		out.WaitSince, out.WaitReason = time.Time{}, ""
	}
	return out
}

// Run keeps a connection until ctx ends, and returns nil then. It fails only
// when the spool does, or GiveUp says so.
func (u *Uplink) Run(ctx context.Context) error {
	r := reporter{log: u.o.Logger, addr: u.o.Addr}
	for attempt := 0; ; attempt++ {
		acks, err := u.session(ctx, &r)
		u.o.Spool.Rewind()
		if ctx.Err() != nil {
			u.setDown("")
			return nil
		}
		if errors.Is(err, spool.ErrClosed) {
			return fmt.Errorf("send batches: %w", err)
		}
		if acks > 0 {
			attempt = 0
		} else {
			err = u.diagnose(ctx, err)
		}
		if final := u.o.GiveUp(err); final != nil {
			u.setDown(final.Error())
			return final
		}
		pause := u.pause(attempt, err)
		u.setDown(err.Error())
		r.down(err, pause)
		if !sleep(ctx, pause) {
			return nil
		}
	}
}

// firstBackoff bounds the pause before the first retry.
const firstBackoff = 200 * time.Millisecond

// pause is exponential back-off with full jitter, so that a thousand agents do
// not return in step. A hub that refuses this agent is asked rarely.
func (u *Uplink) pause(attempt int, err error) time.Duration {
	switch status.Code(err) {
	case codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented:
		limit := u.o.MaxBackoff
		return limit/2 + rand.N(limit/2+1) //nolint:gosec // jitter needs no secrecy
	default:
		return Pause(attempt, u.o.MaxBackoff)
	}
}

// Pause is how long an agent waits before it tries again to reach a hub that does
// not refuse it, after so many tries in vain.
func Pause(attempt int, longest time.Duration) time.Duration {
	return rand.N(min(longest, firstBackoff<<min(attempt, 16)) + 1) //nolint:gosec // jitter needs no secrecy
}

// LongestPause is the longest pause between tries where nothing else is set.
const LongestPause = 10 * time.Second

func (u *Uplink) setDown(reason string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.state.Connected || u.state.Since.IsZero() {
		u.state.Since = time.Now()
	}
	u.state.Connected, u.state.Codec = false, codec.None
	if reason != "" {
		u.state.LastError = reason
	}
	clear(u.sent)
}

func (u *Uplink) setUp() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.state.Connected, u.state.Since = true, time.Now()
	u.state.Connects++
}

// sleep waits unless ctx ends first; it reports whether the time passed.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// reporter writes the log of a connection: each outage once, then once a minute.
type reporter struct {
	log   *slog.Logger
	addr  string
	since time.Time // of the outage; zero while connected
	last  time.Time // of the last line
}

func (r *reporter) down(err error, pause time.Duration) {
	now := time.Now()
	if r.since.IsZero() {
		r.since = now
	}
	if now.Sub(r.last) < time.Minute {
		r.log.Debug("hub still not connected", obs.KeyAddr, r.addr, obs.KeyError, err, obs.KeyBackoff, pause)
		return
	}
	r.last = now
	r.log.Warn("hub not connected, events wait in the spool", obs.KeyAddr, r.addr, obs.KeyError, err,
		obs.KeyDuration, now.Sub(r.since).Round(time.Second))
}

func (r *reporter) up() {
	if r.since.IsZero() {
		r.log.Info("hub connected", obs.KeyAddr, r.addr)
	} else {
		r.log.Info("hub connected again", obs.KeyAddr, r.addr, obs.KeyDuration, time.Since(r.since).Round(time.Millisecond))
	}
	r.since, r.last = time.Time{}, time.Time{}
}

// reasonName is the label of a refusal, such as "too_large".
func reasonName(r pb.RefusalReason) string {
	switch r {
	case pb.RefusalReason_REFUSAL_REASON_MALFORMED:
		return "malformed"
	case pb.RefusalReason_REFUSAL_REASON_TOO_LARGE:
		return "too_large"
	case pb.RefusalReason_REFUSAL_REASON_NO_ID:
		return "no_id"
	case pb.RefusalReason_REFUSAL_REASON_NO_TIME:
		return "no_time"
	case pb.RefusalReason_REFUSAL_REASON_NO_TYPE:
		return "no_type"
	case pb.RefusalReason_REFUSAL_REASON_WRONG_AGENT:
		return "wrong_agent"
	case pb.RefusalReason_REFUSAL_REASON_WRONG_HOST:
		return "wrong_host"
	case pb.RefusalReason_REFUSAL_REASON_RESERVED_TYPE:
		return "reserved_type"
	case pb.RefusalReason_REFUSAL_REASON_UNSPECIFIED:
		return "unspecified"
	default:
		return "other"
	}
}
