// Package export sends what is written into the database of readings on to others, as it
// comes: by Prometheus' remote write, versions 1 and 2
// (https://prometheus.io/docs/specs/prw/remote_write_spec/, …/remote_write_spec_2_0/), and
// as OTLP metrics over HTTP (https://opentelemetry.io/docs/specs/otlp/).
//
// It follows the write-ahead log of the database (format of tsdb/wlog of Prometheus), with a
// reader of its own for each receiver: what a receiver does not take waits there, on disk,
// and nothing waits for it. What happens:
//
//	what happens                          what is done
//	a receiver is away, slow, or answers  tries again, from 1/10 to 30 s apart, for ever; the log keeps two to three
//	429 or 5xx                            hours
//	it answers 400 or 422                 sends smaller parts, until what it refuses is found; drops that, counted
//	it answers another 4xx                drops that request, counted: it would be refused again
//	it was away for longer                goes on with what the log has, and counts that there is a gap
//	the program starts again              goes on behind the last request that was taken; that which was under way
//	                                      is sent again as it was, and refused by who has it
//	the log has a sample twice            sends it once
//	the database is opened again          goes on behind what waits to be sent already
//	samples come late                     they are sent late, in requests of their own
package export

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/vfs"
)

// Protocol is how samples are written.
type Protocol string

// The protocols.
const (
	RemoteWrite1 Protocol = "remote_write_1"
	RemoteWrite2 Protocol = "remote_write_2"
	OTLP         Protocol = "otlp"
)

// Target is a receiver. Name, URL and Protocol are required.
type Target struct {
	Name     string // in metrics, logs and the place; unique
	URL      string
	Protocol Protocol
	Client   *http.Client // nil: one that follows nothing and waits for Timeout
	// Header is what each request gets beside what the protocol has. It is asked each
	// time, so that a secret may change.
	Header func() (http.Header, error)
	// Match chooses series; one of the selectors has to match. Empty: all.
	Match [][]*labels.Matcher
	// Labels are added to each series that has not the same name.
	Labels labels.Labels
	// BatchSamples is how many samples a request has, 2,000; FlushEvery how long fewer
	// wait for more, 5 s; Timeout how long a request may take, 30 s.
	BatchSamples        int
	FlushEvery, Timeout time.Duration
}

// Options say what is sent where. Path and Targets are required.
type Options struct {
	// Path is the folder of the database; its log is in wal/ there.
	Path string
	// Places is the folder where it is kept how far each receiver has got.
	Places  string
	Targets []Target
	Logger  *slog.Logger
	// Registerer takes our metrics; nil: none.
	Registerer prometheus.Registerer
	FS         vfs.FS
	Version    string // of this program

	// firstPause and lastPause are between tries; 100 ms and 30 s.
	firstPause, lastPause time.Duration
}

// Exporter sends. Make it with New and call Run once.
type Exporter struct {
	o       Options
	senders []*sender
}

// New checks the options and registers metrics.
func New(o Options) (*Exporter, error) {
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	o.firstPause, o.lastPause = cmp.Or(o.firstPause, 100*time.Millisecond), cmp.Or(o.lastPause, 30*time.Second)
	e := &Exporter{o: o}
	m := newSelfMetrics()
	names := map[string]bool{}
	for i := range o.Targets {
		t := o.Targets[i]
		if t.Name == "" || t.URL == "" || names[t.Name] {
			return nil, fmt.Errorf("export metrics: each receiver needs an address and a name of its own (%q)", t.Name)
		}
		names[t.Name] = true
		s, err := newSender(e, t, m)
		if err != nil {
			return nil, err
		}
		e.senders = append(e.senders, s)
	}
	if o.Registerer != nil {
		if err := m.register(o.Registerer, e); err != nil {
			return nil, fmt.Errorf("register metrics of exports: %w", err)
		}
	}
	return e, nil
}

// Run sends until ctx ends. What is not sent by then is sent after the next start.
func (e *Exporter) Run(ctx context.Context) {
	var parts sync.WaitGroup
	for _, s := range e.senders {
		parts.Go(func() { s.run(ctx) })
	}
	parts.Wait()
}

// Notify says that samples were written. It never waits.
func (e *Exporter) Notify() {
	for _, s := range e.senders {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// troubledAfter is for how long a receiver takes nothing before the status says so.
const troubledAfter = 5 * time.Minute

// Status says how exports are: "ok", or "degraded" with why.
func (e *Exporter) Status() (state, reason string) {
	for _, s := range e.senders {
		if why := s.trouble(); why != "" {
			return "degraded", fmt.Sprintf("metrics are not sent to %s: %s", s.Name, why)
		}
		if why := s.refusals(); why != "" {
			return "degraded", fmt.Sprintf("%s refuses metrics: %s", s.Name, why)
		}
	}
	return "ok", ""
}

// batch is what was read of the log in one piece. It becomes a request, or two where some
// of it came late.
type batch struct {
	series []*series
	points []point  // in order
	late   []point  // the others
	newest int64    // ms
	end    position // all before it is in this batch or in those before
	round  int      // of the place; end says something of where it is in this one alone
	again  bool     // it was under way when the program ended: the receiver may have it
}

func (b *batch) size() int { return len(b.points) + len(b.late) }

// point is one sample; of is its series in the batch.
type point struct {
	of    int32
	at    int64 // ms
	value float64
}

// encoder writes a batch as a protocol has it.
type encoder interface {
	// encode returns the body of a request and its headers.
	encode(*batch) (body []byte, header map[string]string)
	// refused reads how many samples of a request that was taken were left out, from the
	// answer's body and headers.
	refused(header http.Header, body []byte, sent int) (n int, why string)
}

// sender sends to one receiver.
type sender struct {
	Target

	e       *Exporter
	log     *slog.Logger
	encoder encoder
	metrics *targetMetrics
	place   *place

	queue chan *batch
	quit  chan struct{}
	wake  chan struct{} // there is more in the log
	// pending is how many batches were given on and not taken yet.
	pending atomic.Int32
	known   map[uint64]*series // by their numbers in the log; of the goroutine that follows it

	taking sync.Mutex // held while samples are added to open; guards what follows
	open   *batch
	inOpen map[*series]int32
	at     position // all before it is in batches; nowhere where it is not known
	round  int      // of the place
	// until is where the request ends that was under way when the program ended; what is
	// before it goes in one batch. nil: there is none.
	until *position

	// whole is how many requests that are refused are dropped as they are, by reason. It is
	// of the goroutine that sends.
	whole map[string]int

	mu       sync.Mutex // guards what follows
	failing  error
	dropping bool // what fails is not sent again
	since    time.Time
	refused  refusedSamples
}

// waitingBatches is how many full batches may wait to be sent: what comes then waits in the
// database's log.
const waitingBatches = 2

func newSender(e *Exporter, t Target, m *selfMetrics) (*sender, error) {
	t.BatchSamples = cmp.Or(t.BatchSamples, 2000)
	t.FlushEvery, t.Timeout = cmp.Or(t.FlushEvery, 5*time.Second), cmp.Or(t.Timeout, 30*time.Second)
	s := &sender{
		Target: t, e: e, log: e.o.Logger.With("receiver", t.Name), metrics: m.of(t.Name),
		queue: make(chan *batch, waitingBatches), quit: make(chan struct{}), wake: make(chan struct{}, 1), inOpen: map[*series]int32{}, at: nowhere(), known: map[uint64]*series{}, whole: map[string]int{},
		place: &place{pos: nowhere(), fs: e.o.FS, file: filepath.Join(e.o.Places, t.Name)},
	}
	switch t.Protocol {
	case RemoteWrite1:
		s.encoder = &remoteWrite1{}
	case RemoteWrite2:
		s.encoder = &remoteWrite2{}
	case OTLP:
		s.encoder = &otlp{version: e.o.Version}
	default:
		return nil, fmt.Errorf("export metrics: there is no protocol %q", t.Protocol)
	}
	if s.Client == nil {
		s.Client = &http.Client{}
	}
	return s, nil
}

// trouble says why a receiver takes nothing, if that is so for long.
func (s *sender) trouble() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing == nil || time.Since(s.since) < troubledAfter {
		return ""
	}
	return fmt.Sprintf("since %s: %v", s.since.UTC().Format(time.RFC3339), s.failing)
}

// bare is an address without what may be a secret of it: user, query and fragment.
func bare(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
