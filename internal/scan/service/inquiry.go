package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/scan/stack"
)

const (
	tcp = "tcp"
	udp = "udp"
	// banner is the name of the fact and of the probe that only listens.
	bannerFact = "banner"
)

var errSpent = errors.New("the port was dialled as often as is allowed")

// inquiry is the questioning of one port.
type inquiry struct {
	*Identifier
	dialer   Dialer
	at       netip.AddrPort
	protocol string
	hint     Hint

	life    context.Context //nolint:containedctx // of the one call that made the inquiry
	dials   atomic.Int64
	refused bool  // it took no connection
	idle    *line // a connection on which nothing was said yet
	secure  bool  // TLS is agreed on before anything is said
	tried   map[string]bool
	facts   Facts
	port    *pb.Port
	clues   []stack.Clue
}

// ask follows this order until a service is told, connections or time are spent:
//
//	probes that name the port                      at once, those that listen wait long
//	banner                                         short
//	probes by rank (HTTP, TLS, …), the first on the connection that greeted nobody
//	within TLS: the same again
//	probes that come after the service that was told
func (q *inquiry) ask(ctx context.Context) {
	q.life = ctx
	if q.protocol == udp {
		q.round(ctx, false)
	} else {
		q.round(ctx, true)
		if q.secure {
			q.round(ctx, true)
		}
	}
	q.deepen(ctx)
}

func (q *inquiry) hinted(p *Probe) bool {
	if q.secure {
		return p.tls.has(q.at.Port())
	}
	return p.ports.has(q.at.Port())
}

// order returns the probes of this round.
func (q *inquiry) order(ranked bool) []*Probe {
	var named, others []*Probe
	for _, p := range q.book.probes {
		switch {
		case p.Protocol != q.protocol || q.secure && p.Decoder == decoderTLS || p.Decoder == decoderPJL && !q.options.RawPrinters:
		case q.hinted(p):
			named = append(named, p)
		case ranked && p.Rank > 0 && !rawPrinter(q.at.Port()):
			others = append(others, p)
		}
	}
	byRank := func(a, b *Probe) int { return a.Rank - b.Rank }
	slices.SortStableFunc(others, byRank)
	return append(named, others...)
}

// rawPrinter tells ports where whatever is sent may be printed.
func rawPrinter(port uint16) bool { return port >= 9100 && port <= 9107 }

// round runs probes until one of them tells the service: those that name the port, the
// greeting, HTTP and TLS one after the other, the others a few at once.
func (q *inquiry) round(ctx context.Context, ranked bool) {
	wasSecure := q.secure
	q.port.Service = ""
	order := q.order(ranked)
	for len(order) > 0 {
		n := 1
		for n < atOnce && n < len(order) && q.late(order[0]) && q.late(order[n]) {
			n++
		}
		q.run(ctx, order[:n])
		order = order[n:]
		if ctx.Err() != nil || q.refused || q.port.GetService() != "" || q.secure != wasSecure {
			return
		}
	}
}

const (
	// atOnce is how many connections a port gets at the same time, lateRank from which
	// rank on probes are asked so.
	atOnce   = 5
	lateRank = 10
	// strange is how long an answer is waited for where nothing suggests the question.
	strange = 1200 * time.Millisecond
)

// late tells probes that may be asked together with others: no other changes how the port
// is spoken to.
func (q *inquiry) late(p *Probe) bool {
	return p.Rank >= lateRank && !q.hinted(p) && p.Decoder != decoderTLS && p.Decoder != decoderBanner
}

// deepen asks what comes after the service that was told.
func (q *inquiry) deepen(ctx context.Context) {
	for _, p := range q.book.probes {
		if ctx.Err() != nil {
			return
		}
		if p.Protocol == q.protocol && (slices.Contains(p.After, q.port.GetService()) || slices.Contains(p.After, q.port.GetProduct())) {
			q.run(ctx, []*Probe{p})
		}
	}
}

// run asks probes, each once in a round, at the same time, and learns of the answers in
// their order.
func (q *inquiry) run(ctx context.Context, probes []*Probe) {
	answers := make([]Facts, len(probes))
	if len(probes) > 1 {
		q.hangUp()
	}
	var all sync.WaitGroup
	for n, p := range probes {
		key := fmt.Sprint(p.Name, q.secure)
		if q.tried[key] {
			continue
		}
		q.tried[key] = true
		if len(probes) == 1 {
			answers[n] = q.answer(ctx, p)
			break
		}
		all.Go(func() { answers[n] = q.answer(ctx, p) })
	}
	all.Wait()
	for n, p := range probes {
		q.learn(p, answers[n])
	}
}

// answer asks one probe on a connection.
func (q *inquiry) answer(ctx context.Context, p *Probe) (facts Facts) {
	l, err := q.dial(ctx)
	if err != nil {
		return nil
	}
	if p.Rank > 0 && !q.hinted(p) && q.port.GetService() == "" {
		l.wait = min(l.wait, strange)
	}
	facts = Facts{}
	switch {
	case p.Decoder != "":
		facts = decoders()[p.Decoder](q, l)
	case p.Get != "":
		if page := q.fetch(ctx, &l, p.Get, maxPage); page != nil {
			facts.page(p.Name+".", page)
		}
	case q.protocol == udp:
		facts.put(p.Name, latin(askTwice(l, p.send)))
	default:
		facts.put(p.Name, latin(l.say(p.send, nil)))
	}
	if l != nil && l.cut {
		q.stats.cut.Add(1)
	}
	if l != nil && q.idle != l && !q.keptWithin(l) {
		_ = l.Close()
	}
	return facts
}

// keptWithin tells that TLS was agreed on over l, and that it waits for a question.
func (q *inquiry) keptWithin(l *line) bool {
	return q.idle != nil && q.idle.under == l
}

// askTwice sends a datagram, again when nothing comes, and returns the answer.
func askTwice(l *line, send []byte) []byte {
	one := func([]byte) bool { return true }
	for _, wait := range []time.Duration{l.wait / 4, l.wait / 2} {
		if !l.send(send) {
			return nil
		}
		if b := l.hear(wait, one); len(b) > 0 {
			return b
		}
	}
	return nil
}

// dial returns a connection on which nothing was said.
func (q *inquiry) dial(ctx context.Context) (*line, error) {
	if l := q.idle; l != nil {
		q.idle = nil
		return l, nil
	}
	first := q.dials.Add(1) == 1
	if q.dials.Load() > int64(q.options.Connections) {
		return nil, errSpent
	}
	c, err := q.dialer.DialContext(ctx, q.protocol, q.at.String())
	if err != nil {
		if first {
			q.refused = true
			q.stats.refused.Add(1)
		}
		return nil, err
	}
	l := newLine(ctx, c, q.options.Patience)
	if q.secure {
		return q.secured(l)
	}
	return l, nil
}

func (q *inquiry) hangUp() {
	if q.idle != nil {
		_ = q.idle.Close()
		q.idle = nil
	}
}

// learn adds facts and what fingerprints make of them. What is known already stays.
func (q *inquiry) learn(p *Probe, facts Facts) {
	if len(facts) == 0 {
		return
	}
	for name, text := range facts {
		if _, known := q.facts[name]; !known {
			q.facts[name] = text
		}
	}
	// What greets late answers another probe with its banner.
	if text, ok := facts[p.Name]; ok && p.Decoder == "" {
		if _, known := q.facts[bannerFact]; !known {
			q.facts[bannerFact] = text
		}
	}
	for _, f := range q.book.candidates(q.facts) {
		if s, ok := f.matches(q.facts); ok {
			q.take(&s)
		}
	}
	if q.port.GetService() == "" && p.Service != "" {
		q.port.Service = p.Service
	}
}

// candidates are fingerprints whose first fact is there, in the order of the files.
func (b *book) candidates(facts Facts) []*Fingerprint {
	var places []int
	for name := range facts {
		places = append(places, b.byFact[name]...)
	}
	slices.Sort(places)
	prints := make([]*Fingerprint, len(places))
	for i, n := range places {
		prints[i] = b.prints[n]
	}
	return prints
}

// take notes what a fingerprint says where nothing is known yet: a version goes with
// the product that it is of.
func (q *inquiry) take(s *Says) {
	p := q.port
	if p.GetService() == "" {
		p.Service = s.Service
	}
	if p.GetProduct() == "" && s.Product != "" {
		p.Product, p.Version, p.Cpe = s.Product, s.Version, s.CPE
	} else if p.GetProduct() == s.Product {
		if p.GetVersion() == "" && s.Version != "" {
			p.Version, p.Cpe = s.Version, s.CPE
		}
	}
	for _, r := range s.Remarks {
		q.remark(r)
	}
	q.clue(stack.Clue{
		OS: s.OS, OSVersion: s.OSVersion, Vendor: s.Vendor, Model: s.Model, Class: s.Class, Name: s.Hostname,
		Source: firstOf(s.Product, s.Service, "the service") + " on port " + q.where(),
	})
}

// where names the port for people, as in "22/tcp".
func (q *inquiry) where() string { return fmt.Sprintf("%d/%s", q.at.Port(), q.protocol) }

// clue notes what a service says of its host; nothing is none.
func (q *inquiry) clue(c stack.Clue) {
	empty := c == stack.Clue{Source: c.Source}
	if !empty && !slices.Contains(q.clues, c) && len(q.clues) < maxClues {
		q.clues = append(q.clues, c)
	}
}

const (
	maxClues   = 16
	maxRemarks = 12
)

func (q *inquiry) remark(text string) {
	text = printable(text, 200)
	if text != "" && len(q.port.GetRemarks()) < maxRemarks && !slices.Contains(q.port.GetRemarks(), text) {
		q.port.Remarks = append(q.port.Remarks, text)
	}
}

// finish fills the port's fields from facts.
func (q *inquiry) finish() {
	p, f := q.port, q.facts
	p.Banner = printable(f[bannerFact], 256)
	p.Title = printable(f["http.title"], 256)
	p.Server = printable(f["http.server"], 256)
	p.FaviconSha256 = f["http.favicon"]
	p.HostKey = f["ssh.host_key"]
	q.finishTLS()
	if q.secure {
		p.Service = securedName(p.GetService())
	}
	if p.GetService() == "" && !q.refused {
		p.Service = q.guess()
	} else if p.GetService() != "" {
		q.stats.known.Add(1)
	}
}

// guess names the service that usually is there, marked as a guess by a remark: one that
// a probe asks for there, or one of the table of names.
func (q *inquiry) guess() string {
	name := q.book.names[fmt.Sprintf("%s/%d", q.protocol, q.at.Port())]
	for _, p := range q.book.probes {
		if name == "" && p.Protocol == q.protocol && p.Name != bannerFact && p.ports.has(q.at.Port()) {
			name = firstOf(p.Service, q.book.serviceOf(p))
		}
	}
	if name != "" {
		q.remark(stack.UnprovenByPort)
	}
	return name
}

// serviceOf is the service of the first fingerprint that reads the answer to a probe.
func (b *book) serviceOf(p *Probe) string {
	for _, f := range b.prints {
		for _, w := range f.when {
			if w.fact == p.Name || strings.HasPrefix(w.fact, p.Name+".") {
				return f.Service
			}
		}
	}
	return ""
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// serverName is the name to ask for by TLS and HTTP.
func (q *inquiry) serverName() string {
	if name := strings.TrimSuffix(q.hint.Name, "."); name != "" && net.ParseIP(name) == nil {
		return name
	}
	return ""
}
