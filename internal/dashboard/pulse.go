package dashboard

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// A hub that hangs keeps its connections: only asking finds out. With what the
// message to a tab takes, five seconds are not used up.
const (
	pulseEvery  = 500 * time.Millisecond
	pulseWithin = 3 * time.Second
)

// errHung ends what is asked of a hub that does not answer.
var errHung = errors.New("the hub is connected and does not answer: it hangs, or its machine is overloaded or suspended. " +
	"amoskys status on its machine says whether it answers there, logs/eventbus.log what it did last")

type pulseKey struct{}

// link is whether the hub can be asked, by what watch and pulse find out:
//
//	connection | answers | connected | calls
//	-----------+---------+-----------+------------------------------
//	up         | yes     | yes       | go on
//	up         | no      | no        | end at once, new and old ones
//	down       | –       | no        | are ended by gRPC
type link struct {
	up, hung bool
	// connected is up and not hung, since when, and why if not.
	connected bool
	since     time.Time
	reason    string
	// changed is closed and replaced when connected or reason changes.
	changed chan struct{}
	// answering ends when the hub hangs, and is replaced when it answers again.
	answering context.Context //nolint:containedctx // the life of calls, not of one
	hang      context.CancelCauseFunc
}

func newLink(now time.Time) link {
	l := link{since: now, reason: "the hub has not been reached yet", changed: make(chan struct{})}
	l.answering, l.hang = context.WithCancelCause(context.Background())
	return l
}

// alter changes what is known of the link. since is when a change has come about.
func (h *hub) alter(since time.Time, reason string, change func(*link)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := &h.link
	before := l.hung
	change(l)
	switch {
	case l.hung && !before:
		l.hang(errHung)
	case !l.hung && before:
		l.answering, l.hang = context.WithCancelCause(context.Background())
	}
	connected := l.up && !l.hung
	if connected {
		reason = ""
	}
	if connected == l.connected && reason == l.reason {
		return
	}
	if connected != l.connected {
		l.since = since
	}
	l.connected, l.reason = connected, reason
	close(l.changed)
	l.changed = make(chan struct{})
}

// watch keeps the connection up and notes its state until ctx ends.
func (h *hub) watch(ctx context.Context) {
	up := func(is bool, reason string) {
		h.alter(h.now(), reason, func(l *link) {
			l.up = is
			l.hung = l.hung && is // a new connection may be to another hub
		})
	}
	for {
		state := h.conn.GetState()
		switch state {
		case connectivity.Idle:
			h.conn.Connect()
		case connectivity.Ready:
			up(true, "")
		case connectivity.TransientFailure, connectivity.Shutdown:
			up(false, h.unreachable(h.ask(ctx)))
		case connectivity.Connecting: // a break is over or confirmed soon
		}
		if !h.conn.WaitForStateChange(ctx, state) {
			return
		}
		if state == connectivity.Ready {
			up(false, "the connection to the hub at "+h.addr+" was lost; the dashboard tries again by itself")
		}
	}
}

// pulse finds out whether the hub answers, until ctx ends.
func (h *hub) pulse(ctx context.Context) {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for {
		began := h.now()
		err := h.ask(ctx)
		hung := status.Code(err) == codes.DeadlineExceeded && h.conn.GetState() == connectivity.Ready
		if ctx.Err() == nil && (err == nil || hung) {
			h.alter(pulseSince(began, h.now(), hung), errHung.Error(), func(l *link) { l.hung = hung && l.up })
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// pulseSince is when an answer came, or was asked for in vain.
func pulseSince(began, ended time.Time, hung bool) time.Time {
	if hung {
		return began
	}
	return ended
}

// ask asks the hub for a sign of life.
func (h *hub) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, pulseKey{}, true), pulseWithin)
	defer cancel()
	_, err := h.query.Status(ctx, &pb.StatusRequest{})
	return err
}

// endHung is an interceptor that lets no call wait for a hub that hangs.
func (h *hub) endHung(
	ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	if ctx.Value(pulseKey{}) != nil {
		return invoke(ctx, method, req, reply, conn, options...)
	}
	h.mu.Lock()
	answering := h.link.answering
	h.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(answering, func() { cancel(errHung) }) //nolint:contextcheck // the hub's life, not the caller's
	defer stop()
	err := invoke(ctx, method, req, reply, conn, options...)
	if err != nil && errors.Is(context.Cause(ctx), errHung) {
		return status.Error(codes.Unavailable, errHung.Error())
	}
	return err
}

// unreachable says in people's words why the hub cannot be reached, and what to do.
func (h *hub) unreachable(err error) string {
	why := status.Convert(err).Message()
	if _, inner, ok := strings.Cut(why, `connection error: desc = "`); ok {
		why = strings.TrimSuffix(inner, `"`)
	}
	for _, layer := range []string{"transport: ", "Error while dialing: ", "authentication handshake failed: ", "dial tcp ", h.addr + ": ", "connect: "} {
		why = strings.TrimPrefix(why, layer)
	}
	return "the hub at " + h.addr + " cannot be reached (" + why + "). Does it run, and may this machine reach it? " +
		"amoskys status on its machine says; the dashboard tries again by itself"
}

// state says whether the hub is connected and answers, since when, and gives a
// channel that is closed when that changes.
func (h *hub) state() (connected bool, since time.Time, changed <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.link.connected, h.link.since, h.link.changed
}

// reason says why the hub is not connected, nothing while it is.
func (h *hub) reason() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.link.reason
}
