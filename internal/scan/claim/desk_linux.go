package claim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Desk takes claims into a Book.
type Desk struct {
	listener *net.UnixListener
	book     *Book
}

// Open opens the Desk of this network namespace, of which there is one. The error wraps
// unix.EADDRINUSE where another process has it.
func Open(book *Book) (*Desk, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for scans of this host: %w", err)
	}
	return &Desk{listener: l, book: book}, nil
}

// Run takes claims until ctx ends, and closes the Desk then.
func (d *Desk) Run(ctx context.Context) {
	var scans sync.WaitGroup
	defer scans.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = d.listener.Close() })()
	places := make(chan struct{}, most)
	for {
		c, err := d.listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no descriptor is free, or who came has gone
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			continue
		}
		select {
		case places <- struct{}{}:
			scans.Go(func() {
				defer func() { <-places }()
				d.serve(ctx, c)
			})
		default:
			_ = c.Close()
		}
	}
}

// serve takes the claims of one scan until it goes.
func (d *Desk) serve(ctx context.Context, c *net.UnixConn) {
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	if !believed(c) {
		return
	}
	mine := map[number]int{}
	defer func() {
		for n, times := range mine {
			d.book.change([]number{n}, -times)
		}
	}()
	for {
		var b [size]byte
		if _, err := io.ReadFull(c, b[:]); err != nil {
			return
		}
		m, ok := read(b)
		if !ok {
			return
		}
		all, by := m.numbers(), 1
		if m.frees {
			by = -1
			for _, n := range all {
				if mine[n] == 0 {
					return // none of its own
				}
			}
		}
		for _, n := range all {
			if mine[n] += by; mine[n] == 0 {
				delete(mine, n)
			}
		}
		d.book.change(all, by)
		if _, err := c.Write([]byte{done}); err != nil {
			return
		}
	}
}

// believed says whether who connected is root, or the user of this process.
func believed(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var who *unix.Ucred
	if e := raw.Control(func(fd uintptr) { who, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil || err != nil {
		return false
	}
	return who.Uid == 0 || int(who.Uid) == os.Geteuid()
}

// Scan is the connection of one scan. A nil Scan claims nothing. Its methods may be called
// by several goroutines.
type Scan struct {
	mu sync.Mutex
	c  net.Conn // nil once the Desk has gone
}

// Begin connects to the Desk of this network namespace. It returns nil where there is none.
func Begin(ctx context.Context) *Scan {
	dialer := net.Dialer{Timeout: patience}
	c, err := dialer.DialContext(ctx, "unix", name)
	if err != nil {
		return nil
	}
	return &Scan{c: c}
}

// Claim says that count numbers of a kind from first on are used by this scan alone, until
// Free or End. It waits until the Desk knows, or does not answer.
func (s *Scan) Claim(k Kind, first uint16, count int) {
	s.say(message{kind: k, first: first, count: uint16(count)})
}

// Free says that what was claimed is used no longer.
func (s *Scan) Free(k Kind, first uint16, count int) {
	s.say(message{frees: true, kind: k, first: first, count: uint16(count)})
}

func (s *Scan) say(m message) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c == nil {
		return
	}
	b := m.bytes()
	answer := [1]byte{}
	err := s.c.SetDeadline(time.Now().Add(patience))
	if err == nil {
		_, err = s.c.Write(b[:])
	}
	if err == nil {
		_, err = io.ReadFull(s.c, answer[:])
	}
	if err != nil {
		_ = s.c.Close()
		s.c = nil
	}
}

// End frees all.
func (s *Scan) End() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c != nil {
		_ = s.c.Close()
		s.c = nil
	}
}
