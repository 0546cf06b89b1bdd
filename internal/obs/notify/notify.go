// Package notify tells the service manager how this process is, by the protocol of
// sd_notify(3): datagrams of KEY=VALUE lines to the socket that $NOTIFY_SOCKET names.
// Where nothing is named, as outside of systemd, it does nothing.
package notify

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
)

// Service is this process as its service manager sees it. The zero value has none.
type Service struct {
	socket string
	every  time.Duration // between signs of life; 0 if nobody waits for them
}

// FromEnvironment reads which service manager started this process. Signs of life
// are given when it waits for them, and for them from this process (WATCHDOG_PID of
// sd_watchdog_enabled(3)), three in the time that it waits for one.
func FromEnvironment(lookup func(string) (string, bool)) Service {
	if lookup == nil {
		return Service{}
	}
	read := func(name string) string {
		text, ok := lookup(name)
		if !ok {
			return ""
		}
		return text
	}
	s := Service{socket: read("NOTIFY_SOCKET")}
	if pid := read("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return s
	}
	if n, err := strconv.ParseInt(read("WATCHDOG_USEC"), 10, 64); err == nil && n > 0 && n < int64(24*time.Hour/time.Microsecond) {
		s.every = max(time.Duration(n)*time.Microsecond/3, time.Millisecond)
	}
	return s
}

// Wanted says that somebody listens.
func (s Service) Wanted() bool { return s.socket != "" }

// Send gives the service manager lines such as "READY=1". Without one it does nothing.
func (s Service) Send(ctx context.Context, lines ...string) error {
	if !s.Wanted() {
		return nil
	}
	address := s.socket
	if strings.HasPrefix(address, "@") { // of Linux's abstract names
		address = "\x00" + address[1:]
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unixgram", address)
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}

// Checks are what a service is asked before its manager is told. Both are bounded by
// the context that they get; nil is always good.
type Checks struct {
	Ready func(context.Context) error // whether it can be used
	Alive func(context.Context) error // whether it does anything at all, once it was ready
}

// Times of one question.
const (
	askEvery    = 200 * time.Millisecond
	askPatience = 10 * time.Second
)

// Run tells that the service is ready once it is, then gives signs of life for as long
// as it is alive, until ctx ends, and then that it stops. A service that is not alive
// is left to its manager, which kills and starts it again (WatchdogSec of
// systemd.service(5)). It returns at once where nobody listens.
func (s Service) Run(ctx context.Context, checks Checks, logger *slog.Logger) {
	if !s.Wanted() {
		return
	}
	defer func() { s.tell(context.WithoutCancel(ctx), logger, "STOPPING=1") }()
	starting, stop := context.WithCancel(ctx)
	extended := make(chan struct{})
	go func() { defer close(extended); s.extend(starting, logger) }()
	ready := until(ctx, askEvery, checks.Ready)
	stop()
	<-extended
	if !ready {
		return
	}
	s.tell(ctx, logger, "READY=1")
	if s.every == 0 {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		if ask(ctx, min(s.every, askPatience), checks.Alive) == nil {
			s.tell(ctx, logger, "WATCHDOG=1")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Pace of asking for more time to start.
const (
	extendEvery = 20 * time.Second
	// extendBy is for how long more time is asked, from then on.
	extendBy = 2 * time.Minute
	// leastWork is the CPU time in extendEvery from which on this process is at work.
	leastWork = 200 * time.Millisecond
)

// extend asks the service manager for more time (EXTEND_TIMEOUT_USEC of sd_notify(3)) for
// as long as this process works or reads from disk: a long log takes its time to be
// looked through after a power cut, however long TimeoutStartSec is. One that does
// nothing gets no more time.
func (s Service) extend(ctx context.Context, logger *slog.Logger) {
	tick := time.NewTicker(extendEvery)
	defer tick.Stop()
	before, _ := worked()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, known := worked()
		if known && (now.cpu-before.cpu >= leastWork || now.reads > before.reads) {
			s.tell(ctx, logger, extension())
		}
		before = now
	}
}

func extension() string {
	return "EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(extendBy.Microseconds(), 10)
}

// work is what a process has done.
type work struct {
	cpu   time.Duration
	reads int64 // from disk
}

func (s Service) tell(ctx context.Context, logger *slog.Logger, line string) {
	if err := s.Send(ctx, line); err != nil && ctx.Err() == nil {
		logger.WarnContext(ctx, "the service manager was not told", obs.KeyError, err)
	}
}

// until asks until the answer is good; false when ctx ended before.
func until(ctx context.Context, every time.Duration, check func(context.Context) error) bool {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ask(ctx, askPatience, check) != nil {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return ctx.Err() == nil
}

func ask(ctx context.Context, patience time.Duration, check func(context.Context) error) error {
	if check == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return check(ctx)
}
