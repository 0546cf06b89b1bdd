// Package dashboard is the web server of AMOSKYS: the single-page UI, the REST
// API with its OpenAPI description, and the live WebSocket.
//
// It holds nothing of its own. Everything it shows it reads from the hub, over
// the Query, Fleet, Accounts and EventBus services; sessions live there too, so
// any number of replicas can run behind one address. While the hub cannot be
// reached, pages say so and since when, and catch up by themselves afterwards.
package dashboard

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/spans"
	"github.com/amoskys/amoskys/web"
)

// Options are what a Server needs.
type Options struct {
	Config Config
	// Home resolves the relative paths of Config.
	Home config.Home
	// Assets are the files of the UI: assets/ with names that carry a hash, others
	// beside it, and next to each file worth it the same with ".gz". Index is the
	// page that every address of the UI answers with. Nil takes both from package
	// web.
	Assets fs.FS
	Index  []byte
	// HubCredentials secure the connection to the hub; nil takes the configured
	// certificate.
	HubCredentials credentials.TransportCredentials
	// DialOptions are added to the connection to the hub, for tests.
	DialOptions []grpc.DialOption
	// Listener takes the place of listening on the configured address.
	Listener net.Listener
	Version  string
	Logger   *slog.Logger
	// AccessLog gets one record a request; nil gets none.
	AccessLog *slog.Logger
	// Spans makes traces of requests, and is run by Run; nil makes none.
	Spans *spans.Recorder
	Now   func() time.Time
}

// Server is the dashboard.
type Server struct {
	o        Options
	hub      *hub
	sessions *sessions
	basic    *basicLogins
	overview *overviews
	feeds    *feeds
	static   *static
	api      huma.API
	mux      *http.ServeMux
	// traced is mux, with a trace of each request; compressed is that, for answers that are worth compressing.
	traced, compressed http.Handler
	proxies            []netip.Prefix
	listener           net.Listener
	secure             bool
	// guests are the networks from which people have signed in of late.
	guests *limit.Known

	// Live connections end when stopping is closed and are waited for by liveDone.
	liveDone  sync.WaitGroup
	liveSlots *limit.Slots // by user
	taskSlots *limit.Slots // the same, of runs and results of tasks
	// exportSlots bound exports under way.
	exportSlots *limit.Slots
	// names are fields of ranges, for completion.
	names keptNames
	// keptMarks are what people say of devices.
	keptMarks keptMarks
	tabs      tabs
	stopping  chan struct{}
	stopOnce  sync.Once
}

// New binds the port and prepares the connection to the hub, which need not be
// there yet. Run must follow, or Close.
func New(o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Assets == nil {
		o.Assets, o.Index = web.FS(), web.Index()
	}
	s := &Server{
		o: o, proxies: o.Config.proxies(), stopping: make(chan struct{}),
		liveSlots:   limit.NewSlots(limit.SlotOptions{Slots: max(o.Config.Live.MaxConnections, 1)}),
		taskSlots:   limit.NewSlots(limit.SlotOptions{Slots: maxTaskStreams}),
		exportSlots: limit.NewSlots(limit.SlotOptions{Slots: maxExports}),
		guests:      limit.NewKnown(maxGuests, guestFor),
	}
	var err error
	if s.static, err = newStatic(o.Assets, o.Index); err != nil {
		return nil, err
	}
	if s.hub, err = dialHub(o); err != nil {
		return nil, err
	}
	s.sessions = newSessions(s.hub, o.Now)
	s.basic = newBasicLogins()
	s.overview = &overviews{server: s, made: map[overviewInput]*madeOverview{}}
	s.feeds = newFeeds()
	s.mux, s.api = s.routes()
	s.traced = o.Spans.Handler(s.mux, func(r *http.Request) bool { return asks(r) && r.URL.Path != livePath })
	if s.compressed, err = compressing(s.traced); err != nil {
		return nil, errors.Join(err, s.hub.close())
	}
	if err := s.listen(); err != nil {
		return nil, errors.Join(err, s.hub.close())
	}
	return s, nil
}

// listen binds the port, with TLS where it is configured.
func (s *Server) listen() error {
	c := &s.o.Config
	l := s.o.Listener
	if l == nil {
		var err error
		if l, err = obs.Listen(context.Background(), c.Address()); err != nil {
			return fmt.Errorf("listen for browsers: %w", err)
		}
	}
	l = s.shared(l)
	if c.TLS.Enabled {
		pair := &keyPair{cert: s.o.Home.Path(c.TLS.CertFile), key: s.o.Home.Path(c.TLS.KeyFile)}
		if _, err := pair.get(nil); err != nil {
			return errors.Join(err, l.Close())
		}
		s.secure = true
		l = tls.NewListener(l, &tls.Config{
			MinVersion: tls.VersionTLS12, GetCertificate: pair.get,
			NextProtos: []string{"http/1.1"}, // WebSockets need it, and it costs a browser nothing here
		})
	}
	s.listener = l
	return nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close gives up what New made, when Run does not follow.
func (s *Server) Close() error { return errors.Join(s.listener.Close(), s.hub.close()) }

// shutdownGrace is how long requests may take to end.
const shutdownGrace = 5 * time.Second

// Run serves until ctx ends, then lets requests finish, says goodbye to live
// connections and closes the connection to the hub.
func (s *Server) Run(ctx context.Context) error {
	watching, stopWatching := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { s.hub.watch(watching) })
	watch.Go(func() { s.hub.pulse(watching) })
	tracing, stopTracing := context.WithCancel(context.WithoutCancel(ctx)) // the last requests have spans, too
	watch.Go(func() { _ = s.o.Spans.Run(tracing) })                        // it has no error
	defer func() { stopWatching(); stopTracing(); watch.Wait() }()
	server := &http.Server{
		Handler:           s.Handler(),
		ConnState:         limit.ConnState,
		ConnContext:       keepConn,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(s.listener) }()
	s.o.Logger.Info("dashboard is listening", "addr", s.Addr().String())
	select {
	case err := <-served:
		s.stop()
		s.liveDone.Wait()
		s.feeds.wait()
		return errors.Join(fmt.Errorf("serve dashboard: %w", err), s.hub.close())
	case <-ctx.Done():
	}
	s.stop()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	err := server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	s.liveDone.Wait()
	s.feeds.wait()
	s.o.Logger.Info("dashboard has stopped")
	return errors.Join(err, s.hub.close())
}

// stop tells live connections to end.
func (s *Server) stop() { s.stopOnce.Do(func() { close(s.stopping) }) }
