// Package renewal keeps the certificates of one host alive: from two thirds of
// their life on it makes new keys, has the hub certify them, and puts both in place
// as one. Whoever uses the files takes them up by the next handshake; connections
// that are open stay open.
//
// A node renews its own certificate and those of its agents; an agent that somebody
// runs by hand renews its own. Several may do so for one file: the first wins.
package renewal

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Options say what to keep alive. Files and Dial are required.
type Options struct {
	// Files returns the certificates to look after. The first is the one that Dial
	// presents. Files that name the same certificate are renewed once.
	Files func() []identity.Files
	// Dial opens a connection to the hub for one renewal.
	Dial func() (*grpc.ClientConn, error)
	// Condition is told what keeps certificates from being renewed, with nil when
	// nothing does. It may be nil.
	Condition func(error)
	Now       func() time.Time
	Logger    *slog.Logger
}

// Renewer renews what is due.
type Renewer struct {
	o     Options
	check chan struct{}
}

// New returns a Renewer; Run makes it work.
func New(o Options) *Renewer {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	if o.Condition == nil {
		o.Condition = func(error) {}
	}
	return &Renewer{o: o, check: make(chan struct{}, 1)}
}

// Pace of the looks. Certificates live for days; those made for tests, for minutes.
const (
	firstPause   = 30 * time.Second
	longestPause = time.Hour
	// nextCheck is how long after a look at what the hub wants trusted comes the next,
	// within a half more; it says by itself when that changes, to nodes.
	nextCheck   = 40 * time.Minute
	leastPause  = 5 * time.Second
	callTimeout = 30 * time.Second
)

// Check has Run ask the hub, now, which authorities are to be trusted and whether
// certificates are to be renewed for one of them. It does not wait.
func (r *Renewer) Check() {
	select {
	case r.check <- struct{}{}:
	default:
	}
}

// Run renews what is due until ctx ends, and returns nil then. What fails is tried
// again, less and less often, but more often as the end comes near. At times, and when
// Check says so, it follows the hub to another authority.
func (r *Renewer) Run(ctx context.Context) error {
	pause := firstPause
	follow, asked := false, r.o.Now()
	for {
		_, err := r.Renew(ctx, false)
		if follow && err == nil { // else the hub is out of reach, and each try costs a handshake
			_, err = r.Follow(ctx)
			asked = r.o.Now()
		}
		if ctx.Err() != nil {
			return nil
		}
		r.o.Condition(err)
		wait := min(longestPause, r.shortest(func(c *x509.Certificate) time.Duration { return identity.RenewAt(c).Sub(r.o.Now()) }))
		if err != nil {
			wait = min(pause, r.shortest(r.urgency))
			wait = wait/2 + rand.N(max(wait/2, 1)) //nolint:gosec // jitter needs no secrecy
			pause = min(2*pause, longestPause)
			r.o.Logger.WarnContext(ctx, "certificates could not be renewed, will try again", obs.KeyError, err, obs.KeyBackoff, wait)
		} else {
			pause = firstPause
		}
		timer := time.NewTimer(max(wait, leastPause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
			follow = follow && err != nil || r.o.Now().Sub(asked) >= nextCheck+rand.N(nextCheck/2) //nolint:gosec // jitter needs no secrecy
		case <-r.check:
			timer.Stop()
			follow = true
		}
	}
}

// urgency is how long a failed renewal of a certificate may wait. One that has ended
// is not urgent any more: the hub refuses it, and people have to enrol the host again.
func (r *Renewer) urgency(c *x509.Certificate) time.Duration {
	if left := c.NotAfter.Sub(r.o.Now()); left > 0 {
		return left / 8
	}
	return longestPause
}

// shortest is the least of what of says of each certificate, at most an hour. What
// cannot be read is looked at again by then.
func (r *Renewer) shortest(of func(*x509.Certificate) time.Duration) time.Duration {
	least := longestPause
	held, _ := r.hold()
	for _, h := range held {
		least = min(least, of(h.Cert))
	}
	return least
}

// hold reads the certificates that the hub may renew, each once.
func (r *Renewer) hold() ([]identity.Held, error) {
	var held []identity.Held
	var failed error
	places := map[string]bool{}
	for _, f := range r.o.Files() {
		h, err := identity.Hold(f)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if role := h.ID.Role; role != identity.RoleNode && role != identity.RoleAgent || places[h.Place()] {
			continue
		}
		places[h.Place()] = true
		held = append(held, h)
	}
	return held, failed
}

// Dial prepares a connection to the hub at addr, whose certificate must carry name,
// with the certificate of f. way may be nil, for one without a proxy.
func Dial(addr, name string, f identity.Files, way dial.Func) (*grpc.ClientConn, error) {
	cfg, err := identity.ClientConfig(f, identity.ClientOptions{ServerName: name})
	if err != nil {
		return nil, fmt.Errorf("prepare connection to the hub: %w", err)
	}
	return dial.NewClient(addr, way, credentials.NewTLS(cfg), grpc.WithUserAgent("amoskys-renewal"))
}

// Renewed is a certificate that was replaced.
type Renewed struct {
	File string    `json:"file"`
	ID   string    `json:"id"`
	Was  time.Time `json:"was_not_after"`
	// NotAfter is the end of the new one.
	NotAfter time.Time `json:"not_after"`
}

// Renew renews what is due, or everything. Certificates that cannot be renewed do
// not keep others from it; the error says which, and until when they last.
func (r *Renewer) Renew(ctx context.Context, all bool) ([]Renewed, error) {
	held, failed := r.hold()
	now := r.o.Now()
	if !all {
		held = slices.DeleteFunc(held, func(h identity.Held) bool { return now.Before(identity.RenewAt(h.Cert)) })
	}
	if len(held) == 0 {
		return nil, failed
	}
	done, err := r.renew(ctx, held)
	if err != nil {
		soonest := slices.MinFunc(held, func(a, b identity.Held) int { return a.Cert.NotAfter.Compare(b.Cert.NotAfter) })
		err = explain(soonest, err, now)
	}
	return done, errors.Join(failed, err)
}

// explain adds until when the first certificate lasts, and what to do when it has
// ended.
func explain(h identity.Held, err error, now time.Time) error {
	if end := h.Cert.NotAfter; now.After(end) {
		return fmt.Errorf("%s expired on %s: %s (%w)", h.Files.Cert, end.UTC().Format(time.RFC3339), identity.EnrolAgain, err)
	}
	return fmt.Errorf("%s ends on %s and could not be renewed: %w", h.Files.Cert, h.Cert.NotAfter.UTC().Format(time.RFC3339), err)
}

// renew asks for all in one call. When the hub refuses that for one of them, each
// is asked for alone.
func (r *Renewer) renew(ctx context.Context, held []identity.Held) ([]Renewed, error) {
	conn, err := r.o.Dial()
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // nothing more is asked
	done, err := r.ask(ctx, conn, held)
	code := status.Code(err)
	if err == nil || len(held) == 1 || code != codes.PermissionDenied && code != codes.InvalidArgument {
		return done, err
	}
	var failed error
	for i := range held {
		one, err := r.ask(ctx, conn, held[i:i+1])
		done = append(done, one...)
		if err != nil {
			err = fmt.Errorf("%s: %w", held[i].Files.Cert, err)
		}
		failed = errors.Join(failed, err)
	}
	return done, failed
}

// ask makes one call and puts what comes back in place.
func (r *Renewer) ask(ctx context.Context, conn *grpc.ClientConn, held []identity.Held) ([]Renewed, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req := &pb.RenewCertificatesRequest{}
	keys := make([][]byte, 0, len(held))
	for _, h := range held {
		made, err := identity.NewSigningRequest()
		if err != nil {
			return nil, err
		}
		keys = append(keys, made.KeyPEM)
		req.Renewals = append(req.Renewals, &pb.CertificateRenewal{Certificate: string(h.PEM), Csr: string(made.CSRPEM)})
	}
	var hub peer.Peer
	resp, err := pb.NewCertificatesClient(conn).RenewCertificates(ctx, req, grpc.Peer(&hub))
	if err != nil {
		return nil, &refusal{identity.ExplainHandshake(err, r.o.Files()[0], r.o.Now())}
	}
	if len(resp.GetCertificates()) != len(held) {
		return nil, fmt.Errorf("the hub sent %d certificates, not %d", len(resp.GetCertificates()), len(held))
	}
	if err := identity.UpdateAuthorities(held[0].Files.CA, []byte(resp.GetCa()), chainOf(hub)); err != nil {
		return nil, err
	}
	return r.place(ctx, held, keys, resp)
}

// refusal is why the hub did not renew, without gRPC's own words around it.
type refusal struct{ err error }

func (e *refusal) Error() string {
	if s, ok := status.FromError(e.err); ok {
		return "ask the hub: " + s.Message()
	}
	return "ask the hub: " + e.err.Error()
}

func (e *refusal) Unwrap() error { return e.err }

func (r *Renewer) place(ctx context.Context, held []identity.Held, keys [][]byte, resp *pb.RenewCertificatesResponse) (done []Renewed, failed error) {
	for i, h := range held {
		replaced, err := h.Succeed([]byte(resp.GetCertificates()[i]), keys[i], []byte(resp.GetCa()), r.o.Now())
		if err != nil || !replaced {
			failed = errors.Join(failed, err)
			continue
		}
		fresh, err := identity.Hold(h.Files)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		r.o.Logger.InfoContext(ctx, "certificate renewed", obs.KeyPath, h.Files.Cert, obs.KeySubject, h.ID.String(),
			obs.KeyExpires, fresh.Cert.NotAfter.UTC().Format(time.RFC3339))
		done = append(done, Renewed{File: h.Files.Cert, ID: h.ID.String(), Was: h.Cert.NotAfter, NotAfter: fresh.Cert.NotAfter})
	}
	return done, failed
}

// chainOf is what the hub presented.
func chainOf(p peer.Peer) []*x509.Certificate {
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return nil
	}
	return info.State.PeerCertificates
}
