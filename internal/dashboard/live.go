package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/amoskys/amoskys/internal/limit"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const livePath = "/api/live"

// Bounds on one live connection, which is one browser tab.
const (
	maxLiveMessage   = 16 << 10
	maxSubscriptions = 16
	maxControl       = 64
	maxMistakes      = 20
	maxSubID         = 64
	// flushEvery is how often a subscription may send: ten times a second.
	flushEvery   = 100 * time.Millisecond
	writeTimeout = 15 * time.Second
	pingEvery    = 25 * time.Second
	// recheckEvery is how often the session is confirmed, so that a logout ends
	// live connections too.
	recheckEvery = 30 * time.Second
)

// closeSignedOut tells the page that its session has ended. Codes from 4000 are
// for applications (RFC 6455 section 7.4.2).
const closeSignedOut = websocket.StatusCode(4401)

// serveLive upgrades a request and serves the connection until it ends.
func (s *Server) serveLive(w http.ResponseWriter, r *http.Request) {
	found, refusal := s.authorise(r.Context(), r, access{role: pb.Role_ROLE_VIEWER, stale: true})
	if refusal != nil {
		refusal.write(w)
		return
	}
	noteUser(r.Context(), found.user)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	slot, err := s.liveSlots.Take(limit.Claim{Key: found.user, Known: true, GiveWay: cancel})
	if err != nil {
		p := problem(http.StatusServiceUnavailable, "there are too many live connections")
		p.retryAfter = 10 * time.Second
		p.write(w)
		return
	}
	defer slot.Release()
	s.liveDone.Add(1)
	defer s.liveDone.Done()
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		OriginPatterns: s.o.Config.Server.AllowedOrigins, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		s.o.Logger.DebugContext(r.Context(), "live connection refused", "error", err, "peer", s.clientIP(r))
		return // Accept has answered
	}
	ws.SetReadLimit(maxLiveMessage)
	c := &liveConn{
		server: s, ws: ws, session: found, subs: map[string]*subscription{},
		control: make(chan any, maxControl), ready: make(chan struct{}, 1), recheck: make(chan struct{}, 1),
	}
	s.tabs.add(c)
	defer s.tabs.remove(c)
	c.serve(ctx)
}

// tabs are the live connections of this server.
type tabs struct {
	mu   sync.Mutex // guards open
	open map[*liveConn]struct{}
}

func (t *tabs) add(c *liveConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = map[*liveConn]struct{}{}
	}
	t.open[c] = struct{}{}
}

func (t *tabs) remove(c *liveConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, c)
}

// recheck makes the tabs of a user confirm their sessions at once. Tabs at other
// replicas do so within recheckEvery.
func (t *tabs) recheck(user string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.open {
		if c.session.user == user {
			select {
			case c.recheck <- struct{}{}:
			default:
			}
		}
	}
}

// liveConn is one live connection. One goroutine reads, one writes, and each
// subscription has one that listens to the hub. What is to be written waits in
// the subscriptions, merged, so that a slow tab costs bounded memory.
type liveConn struct {
	server  *Server
	ws      *websocket.Conn
	session session

	// control are answers that are not merged. When it is full the tab has asked
	// for more than it reads, and is let go.
	control chan any
	// ready says that some subscription has something to send.
	ready chan struct{}
	// recheck asks to confirm the session now.
	recheck chan struct{}

	mu   sync.Mutex // guards subs
	subs map[string]*subscription
}

// subscription is one topic that a tab follows.
type subscription struct {
	id     string
	topic  topic
	cancel context.CancelFunc
}

// topic is what a subscription follows.
type topic interface {
	// run gathers until ctx ends, or returns what makes going on senseless. It
	// calls changed when take may have something.
	run(ctx context.Context, changed func()) error
	// take returns the messages that are due, and forgets them.
	take() []any
}

// clientMessage is what a tab sends.
type clientMessage struct {
	Op    string `json:"op"`
	ID    string `json:"id,omitempty"`
	Topic string `json:"topic,omitempty"`
	Query string `json:"query,omitempty"`
	// Without is a type to leave out.
	Without string   `json:"without,omitempty" doc:"A type of event to leave out, such as process.sample."`
	After   *uint64  `json:"after,omitempty" doc:"The last offset that was seen; without it and from, events come from now on."`
	From    *uint64  `json:"from,omitempty" doc:"The first offset that is wanted, such as a search's complete_to_offset."`
	Names   []string `json:"names,omitempty"`
}

// errorMessage says what was wrong with a request, or ended a subscription.
type errorMessage struct {
	ID       string `json:"id,omitempty"`
	Type     string `json:"type"`
	Detail   string `json:"detail"`
	Position *int   `json:"position,omitempty"`
}

// helloMessage is the first on a connection.
type helloMessage struct {
	Type string    `json:"type"`
	Time time.Time `json:"time" doc:"What time it is here: browsers' clocks may be far off."`
	Page string    `json:"page" doc:"The script of the page that is served now; a tab that runs another is out of date."`
}

// pongMessage answers a ping.
type pongMessage struct {
	Type string    `json:"type"`
	Time time.Time `json:"time" doc:"What time it is here."`
}

// hubMessage says that the hub was lost, or is back.
type hubMessage struct {
	Type      string    `json:"type"`
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since"`
	Reason    string    `json:"reason" doc:"Why it is lost, and what to do."`
}

var (
	errStopping  = errors.New("the dashboard is stopping")
	errSignedOut = errors.New("the session has ended")
	errTooMuch   = errors.New("too many requests, or too slow in reading")
)

// serve runs the connection until either side ends it.
func (c *liveConn) serve(ctx context.Context) {
	// Reading goes on until the goodbye has been said: to end its context is to
	// break the connection.
	reading, stopReading := context.WithCancel(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer stopReading()
	defer cancel(nil)
	group.Go(func() { cancel(c.read(reading, ctx, &group)) })
	group.Go(func() { cancel(c.keepAlive(ctx)) })
	cause := c.write(ctx)
	if ended := context.Cause(ctx); ended != nil {
		cause = ended
	}
	cancel(cause)
	switch {
	case errors.Is(cause, errStopping):
		_ = c.ws.Close(websocket.StatusGoingAway, errStopping.Error())
	case errors.Is(cause, errSignedOut):
		_ = c.ws.Close(closeSignedOut, errSignedOut.Error())
	case errors.Is(cause, errTooMuch):
		_ = c.ws.Close(websocket.StatusPolicyViolation, errTooMuch.Error())
	default:
		_ = c.ws.CloseNow() // it has ended by itself
	}
}

// read takes the tab's messages; what they ask for lives as long as ctx.
func (c *liveConn) read(reading, ctx context.Context, group *sync.WaitGroup) error {
	mistakes := 0
	for {
		kind, text, err := c.ws.Read(reading)
		if err != nil {
			return err
		}
		var m clientMessage
		if kind != websocket.MessageText || json.Unmarshal(text, &m) != nil {
			m = clientMessage{}
		}
		refused := c.handle(ctx, m, group)
		if refused == nil {
			continue
		}
		if mistakes++; mistakes > maxMistakes {
			return errTooMuch
		}
		refused.ID, refused.Type = m.ID[:min(len(m.ID), maxSubID)], "error"
		if err := c.say(*refused); err != nil {
			return err
		}
	}
}

// handle does what a message asks; what it returns goes to the tab.
func (c *liveConn) handle(ctx context.Context, m clientMessage, group *sync.WaitGroup) *errorMessage {
	switch m.Op {
	case "ping":
		if c.say(pongMessage{"pong", c.server.o.Now().UTC()}) != nil {
			return &errorMessage{Detail: errTooMuch.Error()}
		}
		return nil
	case "unsubscribe":
		c.unsubscribe(m.ID)
		return nil
	case "subscribe":
		return c.subscribe(ctx, m, group)
	case "":
		return &errorMessage{Detail: `a message is a JSON object with an "op"`}
	}
	return &errorMessage{Detail: `"op" is one of subscribe, unsubscribe and ping`}
}

func (c *liveConn) subscribe(ctx context.Context, m clientMessage, group *sync.WaitGroup) *errorMessage {
	if m.ID == "" || len(m.ID) > maxSubID {
		return &errorMessage{Detail: `a subscription needs an "id" of at most 64 bytes`}
	}
	t, refused := c.server.newTopic(c.session.user, m)
	if refused != nil {
		return refused
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subs[m.ID] != nil {
		return &errorMessage{Detail: "there is a subscription of this id already"}
	}
	if len(c.subs) >= maxSubscriptions {
		return &errorMessage{Detail: "a connection may have 16 subscriptions"}
	}
	ctx, cancel := context.WithCancel(ctx)
	sub := &subscription{id: m.ID, topic: t, cancel: cancel}
	c.subs[m.ID] = sub
	group.Go(func() {
		defer cancel()
		err := t.run(ctx, c.wake)
		if ctx.Err() != nil || err == nil {
			return
		}
		// What it had gathered goes first.
		c.wake()
		c.unsubscribe(sub.id)
		_ = c.say(errorMessage{ID: sub.id, Type: "error", Detail: c.server.hubProblem(err).Detail})
	})
	return nil
}

func (c *liveConn) unsubscribe(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if sub := c.subs[id]; sub != nil {
		sub.cancel()
		delete(c.subs, id)
	}
}

// wake tells the writer that there may be something to send.
func (c *liveConn) wake() {
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// say queues an answer.
func (c *liveConn) say(message any) error {
	select {
	case c.control <- message:
		return nil
	default:
		return errTooMuch
	}
}

// keepAlive finds out when the tab has gone without a word, or its session has
// ended.
func (c *liveConn) keepAlive(ctx context.Context) error {
	ping, recheck := time.NewTicker(pingEvery), time.NewTicker(recheckEvery)
	defer ping.Stop()
	defer recheck.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ping.C:
			waiting, cancel := context.WithTimeout(ctx, writeTimeout)
			err := c.ws.Ping(waiting)
			cancel()
			if err != nil {
				return err
			}
			continue
		case <-recheck.C:
		case <-c.recheck:
		}
		if !c.server.stillSignedIn(ctx, c.session) {
			return errSignedOut
		}
	}
}

// stillSignedIn is false only when the hub says so, or the session is over.
func (s *Server) stillSignedIn(ctx context.Context, found session) bool {
	_, err := s.sessions.lookup(ctx, found.token)
	if err == nil {
		return true
	}
	return isUnreachable(err) && s.o.Now().Before(found.expires) || ctx.Err() != nil
}
