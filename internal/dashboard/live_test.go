package dashboard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/amoskys/amoskys/internal/dashboard"
)

// tab is the live connection of one browser tab.
type tab struct {
	t  testing.TB
	ws *websocket.Conn
}

// message is any message of the server.
type message struct {
	ID        string            `json:"id"`
	Type      string            `json:"type"`
	Events    []dashboard.Event `json:"events"`
	Next      uint64            `json:"next"`
	Tail      uint64            `json:"tail"`
	Shown     int               `json:"shown"`
	Of        int               `json:"of"`
	From      uint64            `json:"from"`
	To        uint64            `json:"to"`
	Reason    string            `json:"reason"`
	Detail    string            `json:"detail"`
	Position  *int              `json:"position"`
	Snapshot  bool              `json:"snapshot"`
	Agents    json.RawMessage   `json:"agents"`
	Connected bool              `json:"connected"`
	Time      time.Time         `json:"time"`
	Since     time.Time         `json:"since"`
	Page      string            `json:"page"`
	Status    struct{ State string }
	Points    []dashboard.SeriesPoint `json:"points"`
}

func (m *message) agents() (list []dashboard.Agent) {
	_ = json.Unmarshal(m.Agents, &list)
	return list
}

// dial returns the connection, nil if it was refused, and the HTTP status.
func (c *client) dial(origin string) (*websocket.Conn, int) {
	c.t.Helper()
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	ws, response, err := websocket.Dial(context.Background(), strings.Replace(c.url, "http", "ws", 1)+"/api/live", //nolint:bodyclose // the package says: never to be closed
		&websocket.DialOptions{HTTPClient: c.http, HTTPHeader: header})
	if response == nil {
		c.t.Fatal(err)
	}
	return ws, response.StatusCode
}

func (c *client) tab(t testing.TB) *tab {
	t.Helper()
	ws, code := c.dial(c.url)
	if ws == nil {
		t.Fatalf("live connection: %d", code)
	}
	ws.SetReadLimit(8 << 20)
	t.Cleanup(func() { ws.CloseNow() })
	b := &tab{t, ws}
	hello := b.hear()
	if early := time.Since(hello.Time); hello.Type != "hello" || hello.Page != "/assets/app-1a2b.js" || early < 0 || early > time.Minute {
		t.Errorf("a live connection begins with %+v", hello)
	}
	return b
}

func (b *tab) say(text string, args ...any) {
	b.t.Helper()
	if err := b.ws.Write(context.Background(), websocket.MessageText, fmt.Appendf(nil, text, args...)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) hear() message {
	b.t.Helper()
	m, err := b.read()
	if err != nil {
		b.t.Fatal(err)
	}
	return m
}

func (b *tab) read() (m message, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, text, err := b.ws.Read(ctx)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(text, &m)
}

// answer hears the next message that is not about the hub's connection, which may
// come and go by itself.
func (b *tab) answer() message {
	b.t.Helper()
	return b.until("an answer", func(m *message) bool { return m.Type != "hub" })
}

// until hears messages until one is wanted.
func (b *tab) until(what string, want func(m *message) bool) message {
	b.t.Helper()
	for range 1000 {
		if m := b.hear(); want(&m) {
			return m
		}
	}
	b.t.Fatalf("never heard: %s", what)
	return message{}
}

func TestLiveNeedsSessionAndOrigin(t *testing.T) {
	s := newSite(t)
	c := s.signedIn(t, "viewer")
	for name, tc := range map[string]struct {
		c      *client
		origin string
		want   int
	}{
		"no session":   {s.client(t), s.url, 401},
		"other origin": {c, "https://evil.example", 403},
		"right":        {c, s.url, 101},
		"no origin":    {c, "", 101}, // not a browser: it could send what it likes
	} {
		ws, code := tc.c.dial(tc.origin)
		if code != tc.want {
			t.Errorf("%s: %d, want %d", name, code, tc.want)
		}
		if ws != nil {
			ws.CloseNow()
		}
	}
	if code := c.do("GET", "/api/live", nil, nil); code != 426 {
		t.Errorf("plain GET: %d", code)
	}
}

func TestLiveEventsFollowFilterAndResume(t *testing.T) {
	s := newSite(t)
	s.hub.bus.publish(samples("nginx", 5)...)
	c := s.signedIn(t, "viewer")
	b := c.tab(t)
	before := s.hub.streams.Load()
	b.say(`{"op":"subscribe","id":"1","topic":"events","query":"process.name:nginx"}`)
	first := b.answer()
	if first.Type != "events" || first.ID != "1" || len(first.Events) != 0 || first.Next != 5 || first.Tail != 5 {
		t.Fatalf("first message %+v", first)
	}
	s.hub.bus.publish(append(samples("postgres", 3), samples("nginx", 2)...)...)
	m := b.until("two events", func(m *message) bool { return len(m.Events) > 0 })
	if len(m.Events) != 2 || m.Events[0].Offset != 8 || m.Shown != 2 || m.Of != 2 || m.Next != 10 {
		t.Errorf("message %+v", m)
	}
	b.ws.CloseNow()
	// Else the next tab may follow at the tail, where a flood is sampled.
	eventually(t, "nobody follows", func() bool { return s.hub.streams.Load() <= before })
	s.hub.bus.publish(samples("nginx", 450)...)
	again := c.tab(t)
	again.say(`{"op":"subscribe","id":"7","topic":"events","query":"process.name:nginx","after":9}`)
	want := uint64(10)
	for want < 460 {
		m := again.answer()
		if m.Shown != m.Of {
			t.Fatalf("sampled while catching up: %d of %d", m.Shown, m.Of)
		}
		for _, e := range m.Events {
			if e.Offset != want {
				t.Fatalf("event %d, want %d", e.Offset, want)
			}
			want++
		}
	}
	again.say(`{"op":"unsubscribe","id":"7"}`)
	again.say(`{"op":"ping"}`)
	again.until("pong", func(m *message) bool { return m.Type == "pong" })
	s.hub.bus.publish(samples("nginx", 1)...)
	again.say(`{"op":"ping"}`)
	if m := again.answer(); m.Type != "pong" {
		t.Errorf("after unsubscribe: %+v", m)
	}
}

func TestLiveSamplesAFloodAndKeepsToItsRate(t *testing.T) {
	s := newSite(t, func(o *dashboard.Options) { o.Config.Live.MaxEvents = 50 })
	c := s.signedIn(t, "viewer")
	b := c.tab(t)
	b.say(`{"op":"subscribe","id":"1","topic":"events","query":""}`)
	b.answer()
	const flood = 5_000
	began := time.Now()
	for range flood / 500 {
		s.hub.bus.publish(samples("nginx", 500)...)
	}
	var shown, of, messages int
	b.until("the end of the flood", func(m *message) bool {
		messages++
		shown += m.Shown
		of += m.Of
		if len(m.Events) != m.Shown || m.Shown > 50 {
			t.Errorf("%d events, shown %d", len(m.Events), m.Shown)
		}
		for i := 1; i < len(m.Events); i++ {
			if m.Events[i].Offset <= m.Events[i-1].Offset {
				t.Error("not in order")
			}
		}
		return m.Next == flood
	})
	if of != flood || shown == of {
		t.Errorf("shown %d of %d", shown, of)
	}
	if most := int(time.Since(began)/(100*time.Millisecond)) + 2; messages > most {
		t.Errorf("%d messages where %d may come", messages, most)
	}
}

func TestLiveSlowClientCostsNobodyElse(t *testing.T) {
	s := newSite(t)
	c := s.signedIn(t, "viewer")
	slow, quick := c.tab(t), c.tab(t)
	slow.say(`{"op":"subscribe","id":"1","topic":"events","query":""}`)
	slow.answer() // and then no more
	quick.say(`{"op":"subscribe","id":"1","topic":"events","query":"quick"}`)
	quick.answer()
	for range 30 {
		s.hub.bus.publish(samples("noise-"+strings.Repeat("x", 1000), 100)...)
	}
	s.hub.bus.publish(samples("quick", 1)...)
	m := quick.until("the event", func(m *message) bool { return len(m.Events) == 1 })
	if m.Events[0].Offset != 3000 {
		t.Errorf("event %d", m.Events[0].Offset)
	}
	var of int
	slow.until("its end", func(m *message) bool { of += m.Of; return m.Next == 3001 })
	if of != 3001 {
		t.Errorf("slow tab was told of %d events", of)
	}
}

func TestLiveGaps(t *testing.T) {
	s := newSite(t)
	s.hub.bus.forget(100)
	s.hub.bus.publish(samples("nginx", 10)...)
	c := s.signedIn(t, "viewer")
	b := c.tab(t)
	b.say(`{"op":"subscribe","id":"gone","topic":"events","query":"","after":49}`)
	if m := b.answer(); m.Type != "gap" || m.From != 50 || m.To != 100 || m.Reason != "retention" {
		t.Errorf("retention: %+v", m)
	}
	var shown int
	b.until("what is behind the gap", func(m *message) bool { shown += len(m.Events); return m.Next == 110 })
	if shown != 10 {
		t.Errorf("%d events behind the gap", shown)
	}
	b.say(`{"op":"unsubscribe","id":"gone"}`)
	b.say(`{"op":"subscribe","id":"beyond","topic":"events","query":"","after":5000}`)
	m := b.until("gap", func(m *message) bool { return m.ID == "beyond" && m.Type == "gap" })
	if !strings.Contains(m.Reason, "replaced") {
		t.Errorf("beyond the end: %+v", m)
	}
	b.until("the end", func(m *message) bool { return m.ID == "beyond" && m.Type == "events" && m.Next == 110 })
	b.say(`{"op":"unsubscribe","id":"beyond"}`)
	s.hub.bus.forget(60_100)
	b.say(`{"op":"subscribe","id":"far","topic":"events","query":"nothing","after":109}`)
	if m := b.until("gap", func(m *message) bool { return m.ID == "far" }); m.Type != "gap" || m.From != 110 || m.To != 60_100-25_000 {
		t.Errorf("too far behind: %+v", m)
	}
}

func TestLiveAgentsOverviewSeries(t *testing.T) {
	s := newSite(t)
	s.hub.node(t, "h1")
	c := s.signedIn(t, "admin")
	eventually(t, "the agent is known", func() bool { return c.do("GET", "/api/agents/proc_agent/logs?lines=1", nil, nil) == 200 })
	b := c.tab(t)
	b.say(`{"op":"subscribe","id":"a","topic":"agents"}`)
	if m := b.answer(); m.Type != "agents" || !m.Snapshot || len(m.agents()) != 1 || m.agents()[0].State != "running" {
		t.Errorf("snapshot %+v", m)
	}
	c.do("POST", "/api/agents/proc_agent/stop", nil, nil)
	if m := b.answer(); m.Snapshot || len(m.agents()) != 1 || m.agents()[0].State != "stopped" {
		t.Errorf("change %+v", m)
	}
	b.say(`{"op":"subscribe","id":"o","topic":"overview"}`)
	if m := b.until("overview", func(m *message) bool { return m.Type == "overview" }); m.Status.State != "ok" {
		t.Errorf("overview %+v", m)
	}
	s.hub.bus.publish(samples("nginx", 5)...)
	b.say(`{"op":"subscribe","id":"s","topic":"series","names":["events_per_second","queue_depth"]}`)
	m := b.until("points", func(m *message) bool { return m.Type == "series" && len(m.Points) > 0 })
	if p := m.Points[0]; p.Name == "" || p.Unit == "" {
		t.Errorf("points %+v", m.Points)
	}
}

func TestLiveRefusesNonsense(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(t, "viewer").tab(t)
	for _, tc := range []struct{ say, want string }{
		{`{`, "JSON object"},
		{`[]`, "JSON object"},
		{`{"op":"fly"}`, "one of"},
		{`{"op":"subscribe","topic":"events"}`, `"id"`},
		{`{"op":"subscribe","id":"1","topic":"weather"}`, "topic"},
		{`{"op":"subscribe","id":"1","topic":"series"}`, "names"},
		{`{"op":"subscribe","id":"1","topic":"events","query":"a b:"}`, ""},
		{`{"op":"subscribe","id":"1","topic":"events","after":-5}`, "JSON object"},
	} {
		b.say("%s", tc.say)
		if m := b.answer(); m.Type != "error" || m.Detail == "" || !strings.Contains(m.Detail, tc.want) {
			t.Errorf("%s: %+v", tc.say, m)
		} else if strings.Contains(tc.say, "a b:") && (m.Position == nil || m.ID != "1") {
			t.Errorf("no position: %+v", m)
		}
	}
	for i := range 17 {
		b.say(`{"op":"subscribe","id":"%d","topic":"agents"}`, i)
	}
	b.until("the bound on subscriptions", func(m *message) bool { return m.Type == "error" && m.ID == "16" })
	// One at a time: what lies unread when the server closes would turn the end
	// into a reset, and the reason would be lost.
	var err error
	for range 20 {
		if err != nil {
			break
		}
		_ = b.ws.Write(context.Background(), websocket.MessageText, []byte("nonsense"))
		for answered := false; !answered && err == nil; {
			var m message
			if m, err = b.read(); err == nil {
				answered = m.Type == "error"
			}
		}
	}
	if websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("closed with %v", err)
	}
}

func TestLiveRefusesLargeMessages(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(t, "viewer").tab(t)
	b.say(`{"op":"subscribe","id":"1","topic":"events","query":"%s"}`, strings.Repeat("x", 20_000))
	if _, err := b.read(); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("closed with %v", err)
	}
}

func TestLiveConnectionsAreBounded(t *testing.T) {
	s := newSite(t, func(o *dashboard.Options) { o.Config.Live.MaxConnections = 2 })
	c := s.signedIn(t, "viewer")
	first, _ := c.tab(t), c.tab(t)
	if _, code := c.dial(s.url); code != http.StatusServiceUnavailable {
		t.Fatalf("third: %d", code)
	}
	first.ws.CloseNow()
	eventually(t, "there is room again", func() bool {
		ws, _ := c.dial(s.url)
		if ws != nil {
			ws.CloseNow()
		}
		return ws != nil
	})
}

func TestLiveOutlivesTheHub(t *testing.T) {
	h := newHub(t)
	s := newSiteOver(t, h)
	h.bus.publish(samples("nginx", 3)...)
	c := s.signedIn(t, "viewer")
	b := c.tab(t)
	b.say(`{"op":"subscribe","id":"1","topic":"events","query":""}`)
	b.until("position", func(m *message) bool { return m.Type == "events" && m.Next == 3 })
	b.say(`{"op":"subscribe","id":"2","topic":"agents"}`)
	b.until("agents", func(m *message) bool { return m.Type == "agents" })
	h.stop()
	b.until("the loss", func(m *message) bool { return m.Type == "hub" && !m.Connected })
	h.bus.publish(samples("nginx", 4)...)
	later := c.tab(t)
	later.until("the loss, told to a new tab", func(m *message) bool { return m.Type == "hub" && !m.Connected })
	h.start()
	var got []uint64
	back, snapshot := false, false
	b.until("what was missed", func(m *message) bool {
		back = back || m.Type == "hub" && m.Connected
		snapshot = snapshot || m.Type == "agents" && m.Snapshot
		for _, e := range m.Events {
			got = append(got, e.Offset)
		}
		return back && snapshot && len(got) == 4
	})
	if fmt.Sprint(got) != "[3 4 5 6]" {
		t.Errorf("events %v", got)
	}
}

func TestLiveEndsWhenTheServerStops(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(t, "viewer").tab(t)
	b.say(`{"op":"subscribe","id":"1","topic":"events","query":""}`)
	b.answer()
	go s.stop()
	for {
		if _, err := b.read(); err != nil {
			if websocket.CloseStatus(err) != websocket.StatusGoingAway {
				t.Errorf("closed with %v", err)
			}
			break
		}
	}
	s.stop()
}

func TestLiveEndsWithItsSession(t *testing.T) {
	s := newSite(t)
	c, other := s.signedIn(t, "viewer"), s.signedIn(t, "viewer")
	b, stays := c.tab(t), other.tab(t)
	c.do("POST", "/api/logout", nil, nil)
	if _, err := b.read(); websocket.CloseStatus(err) != 4401 {
		t.Errorf("closed with %v", err)
	}
	stays.say(`{"op":"ping"}`)
	if m := stays.answer(); m.Type != "pong" {
		t.Errorf("another session of the user: %+v", m)
	}
	third := s.signedIn(t, "viewer")
	third.do("POST", "/api/password", map[string]string{"old_password": testPassword, "new_password": "another long password"}, nil)
	if _, err := stays.read(); websocket.CloseStatus(err) != 4401 {
		t.Errorf("after the change of password: %v", err)
	}
}

func FuzzLiveMessage(f *testing.F) {
	f.Add(`{"op":"subscribe","id":"1","topic":"events","query":"type:process.execution","after":5}`)
	f.Add(`{"op":"subscribe","id":"2","topic":"series","names":["a"]}`)
	f.Add(`{"op":"unsubscribe","id":"1"}`)
	f.Add(`{"op":1}`)
	f.Add(`null`)
	s := newSite(f)
	c := s.signedIn(f, "viewer")
	f.Fuzz(func(t *testing.T, text string) {
		b := (&client{t: t, url: c.url, http: c.http}).tab(t)
		b.say("%s", text)
		b.say(`{"op":"ping"}`)
		for {
			m, err := b.read()
			if err != nil {
				if websocket.CloseStatus(err) == -1 {
					t.Fatalf("%q broke the connection: %v", text, err)
				}
				return
			}
			if m.Type == "pong" {
				return
			}
		}
	})
}

func FuzzRequest(f *testing.F) {
	f.Add("/api/events?query=a&since=15m&until=now&limit=5&facets=type,host", "amoskys_session=x")
	f.Add("/api/series?names=a,b&step=5s&since=9999999d", "amoskys_session=\x00")
	f.Add("/api/events/18446744073709551615?neighbours=4294967295", "")
	f.Add("/dashboard/%2e%2e/%00", ";;;=")
	s := newSite(f)
	handler := s.server.Handler()
	c := s.signedIn(f, "viewer")
	cookie := c.cookie()
	f.Fuzz(func(t *testing.T, target, extra string) {
		request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://localhost"+target, nil)
		if err != nil || request.URL.Path == "/api/live" {
			return
		}
		request.RemoteAddr = "127.0.0.1:1"
		for _, with := range []string{extra, cookie} {
			request.Header.Set("Cookie", with)
			w := newRecorder()
			handler.ServeHTTP(w, request)
			if w.Code >= 500 {
				t.Errorf("GET %q with cookie %q: %d %s", target, with, w.Code, w.Body)
			}
		}
	})
}
