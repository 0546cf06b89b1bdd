package snmp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/amoskys/amoskys/internal/snmp/ber"
)

// maxDatagrams is how many datagrams that are no answer one request reads past. A
// host that floods us costs no more than that.
const maxDatagrams = 1000

// maxEngines is how many engine ids one device may show to one Client. Each costs
// the library a megabyte of hashing for each password.
const maxEngines = 4

// line is the socket of one device as the library sees it. It is not connected, so
// that answers from elsewhere are met and can be told; only a whole, well-formed
// answer to what was sent, from the address that was asked, passes. Whatever else
// comes is counted, and the wait goes on.
//
// What the device says in reports, which are not encrypted where the credential is
// wrong, ends the request at once: repeating a wrong password is how one is locked
// out.
type line struct {
	sock *net.UDPConn
	to   netip.AddrPort

	// Of the request that runs; begin sets all of it anew.
	ids       []int64        // under which it was sent
	discovery map[int64]bool // of these, those that only ask for the engine's id
	read      int
	stranger  netip.AddrPort
	garbage   bool
	verdict   error // of the device or the network: it is not asked again
	resync    bool  // the device wants to be asked for its engine anew

	engines [][]byte
	counts  *Counts

	mu    sync.Mutex // guards ended and the deadline
	ended bool       // the context is done
}

var _ net.Conn = (*line)(nil)

// begin prepares for a request, which ends with ctx. Call what it returns when the
// request is over.
func (l *line) begin(ctx context.Context) (end func()) {
	l.ids, l.read, l.stranger, l.garbage = l.ids[:0], 0, netip.AddrPort{}, false
	l.verdict, l.resync = nil, false
	clear(l.discovery)
	l.setEnded(false)
	stop := context.AfterFunc(ctx, func() { l.setEnded(true) })
	return func() { stop() }
}

func (l *line) setEnded(ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = ended
	if ended {
		_ = l.sock.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
	}
}

// SetDeadline sets until when an answer is waited for. It fails once it makes no
// sense to ask again, which is how the library is stopped from doing so.
func (l *line) SetDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return os.ErrDeadlineExceeded
	}
	if l.verdict != nil {
		return l.verdict
	}
	return l.sock.SetReadDeadline(t)
}

// Write sends one message and remembers its id.
func (l *line) Write(b []byte) (int, error) {
	m, err := inspect(b)
	if err != nil {
		return 0, fmt.Errorf("send: %w", err) // of our own making
	}
	l.ids = append(l.ids, m.id)
	if m.version == 3 && len(m.user) == 0 {
		l.discovery[m.id] = true
	}
	l.counts.Requests++
	l.counts.BytesOut += uint64(len(b))
	n, err := l.sock.WriteToUDPAddrPort(b, l.to)
	if err != nil {
		l.blame(err)
	}
	return n, err
}

// Read waits for the answer to what was sent. b must hold a datagram of any size.
func (l *line) Read(b []byte) (int, error) {
	for {
		n, from, err := l.sock.ReadFromUDPAddrPort(b)
		if err != nil {
			l.blame(err)
			return 0, err
		}
		if l.read++; l.read > maxDatagrams {
			return 0, l.end(fmt.Errorf("%w: more than %d datagrams came that answer nothing", ErrMalformed, maxDatagrams))
		}
		l.counts.BytesIn += uint64(n)
		if !same(from, l.to) {
			l.stranger = unmapped(from)
			l.counts.Strangers++
			continue
		}
		m, err := inspect(b[:n])
		if err != nil {
			l.garbage = true
			l.counts.Malformed++
			continue
		}
		if !l.answers(m) {
			l.counts.Strays++
			continue
		}
		if m.report != nil && !l.discovery[m.id] {
			if err := l.judge(m.report); err != nil {
				return 0, l.end(err)
			}
		}
		l.counts.Variables += uint64(m.variables)
		l.counts.Unreadable += uint64(m.unread)
		return m.length, nil
	}
}

// answers reports whether m answers what was sent.
func (l *line) answers(m message) bool {
	known := false
	for _, id := range l.ids {
		known = known || id == m.id
	}
	switch {
	case !known, !m.encrypted && m.pdu != ber.Response && (m.version != 3 || m.pdu != ber.Report):
		return false
	case m.version == 3 && len(m.engine) > 0:
		return l.knowsEngine(m.engine)
	default:
		return true
	}
}

func (l *line) knowsEngine(id []byte) bool {
	for _, e := range l.engines {
		if string(e) == string(id) {
			return true
		}
	}
	if len(l.engines) == maxEngines {
		return false
	}
	l.engines = append(l.engines, append([]byte(nil), id...))
	return true
}

// judge says what a report of the user-based model means (RFC 3414, section 5,
// usmStats): an error where asking again is of no use.
func (l *line) judge(encoded []byte) error {
	const usmStats = "\x2b\x06\x01\x06\x03\x0f\x01\x01" // 1.3.6.1.6.3.15.1.1
	if len(encoded) != len(usmStats)+2 || string(encoded[:len(usmStats)]) != usmStats {
		return nil
	}
	switch encoded[len(usmStats)] {
	case 1:
		return ErrLevel
	case 2, 4: // not in the time window, unknown engine id
		l.resync = true
		return nil
	case 3:
		return ErrUser
	case 5:
		return ErrPassword
	case 6:
		return ErrPrivacy
	default:
		return nil
	}
}

func (l *line) end(verdict error) error {
	l.verdict = verdict
	return verdict
}

// blame notes what the network says of a host that cannot be had. Nothing is gained
// by asking again at once.
func (l *line) blame(err error) {
	forgetRefusals(l.sock)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		l.verdict = ErrRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTDOWN):
		l.verdict = ErrUnreachable
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		l.verdict = fmt.Errorf("send: %w", err)
	}
}

// cause says why no answer came, in the order of what explains most.
func (l *line) cause() error {
	switch {
	case l.verdict != nil:
		return l.verdict
	case l.stranger.IsValid():
		return &addressError{from: l.stranger}
	case l.garbage:
		return ErrMalformed
	default:
		return ErrTimeout
	}
}

// same compares without zones, which the kernel writes by name and people by number.
func same(a, b netip.AddrPort) bool {
	return a.Port() == b.Port() && a.Addr().Unmap().WithZone("") == b.Addr().Unmap().WithZone("")
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Close closes the socket.
func (l *line) Close() error { return l.sock.Close() }

// LocalAddr is the address from which requests leave.
func (l *line) LocalAddr() net.Addr { return l.sock.LocalAddr() }

// RemoteAddr is the device's.
func (l *line) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(l.to) }

// SetReadDeadline is SetDeadline: nothing ever waits to be written.
func (l *line) SetReadDeadline(t time.Time) error { return l.SetDeadline(t) }

// SetWriteDeadline does nothing: a datagram is sent or not, at once.
func (*line) SetWriteDeadline(time.Time) error { return nil }
