package service

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"time"
)

// Bounds of what is read.
const (
	maxAnswer = 16 << 10               // bytes of one raw answer
	maxLine   = 512 << 10              // bytes of one connection
	pause     = 60 * time.Millisecond  // after which an answer is over
	lull      = 400 * time.Millisecond // the same where its end can be seen
	long      = 6 * time.Second        // for a greeting where the protocol has one
)

var (
	errCut  = errors.New("the answer is longer than what is read")
	errEcho = errors.New("the answer is the question")
)

// Of how many bytes of a question on the answer that repeats it is an echo (RFC 862), and
// how many of it are compared. In all protocols that are asked an answer differs from its
// question within these, in its kind or length.
const (
	leastEcho = 8
	mostEcho  = 32
)

// line is a connection of which a bounded number of bytes is read. It is closed when
// its context ends, so that no peer holds it.
type line struct {
	net.Conn
	ctx    context.Context //nolint:containedctx // the life of the connection is that of one question
	left   int
	wait   time.Duration // for an answer
	detach func() bool
	cut    bool
	under  *line  // what TLS runs over
	asked  []byte // the question, as far as the answer has repeated none of it
	echoed bool   // the peer sends back what it is sent, so nothing of it tells a service
}

func newLine(ctx context.Context, c net.Conn, wait time.Duration) *line {
	return &line{Conn: c, ctx: ctx, left: maxLine, wait: wait, detach: context.AfterFunc(ctx, func() { _ = c.Close() })}
}

// Read implements io.Reader with the bound.
func (l *line) Read(p []byte) (int, error) {
	if l.left <= 0 {
		l.cut = true
		return 0, errCut
	}
	n, err := l.Conn.Read(p[:min(len(p), l.left)])
	l.left -= n
	if l.echoes(p[:n]) {
		return 0, errEcho
	}
	return n, err
}

// echoes notes what of the question came back.
func (l *line) echoes(heard []byte) bool {
	if l.echoed || len(l.asked) == 0 || len(heard) == 0 {
		return l.echoed
	}
	n := min(len(heard), len(l.asked))
	if !bytes.Equal(heard[:n], l.asked[:n]) {
		l.asked = nil
		return false
	}
	l.asked = l.asked[n:]
	l.echoed = len(l.asked) == 0
	return l.echoed
}

// Close ends the connection.
func (l *line) Close() error {
	l.detach()
	return l.Conn.Close()
}

// hangUp ends the connection; what a peer says of that matters to nobody.
func (l *line) hangUp() { _ = l.Close() }

// hear returns what the peer sends: it waits for the first bytes as long as wait, and
// stops when whole says that this is all, when the peer pauses, or at maxAnswer bytes.
// whole may be nil.
func (l *line) hear(wait time.Duration, whole func([]byte) bool) []byte {
	var heard []byte
	chunk := make([]byte, 4096)
	end := time.Now().Add(wait)
	for len(heard) < maxAnswer && l.ctx.Err() == nil {
		if l.SetReadDeadline(end) != nil {
			break
		}
		n, err := l.Read(chunk[:min(len(chunk), maxAnswer-len(heard))])
		heard = append(heard, chunk[:n]...)
		if errors.Is(err, errEcho) {
			heard = nil
		}
		if err != nil || n > 0 && whole != nil && whole(heard) {
			break
		}
		end = time.Now().Add(pause)
		if whole != nil {
			end = time.Now().Add(lull)
		}
	}
	_ = l.SetReadDeadline(time.Time{})
	return heard
}

// say sends bytes and returns what comes back, as hear does.
func (l *line) say(send []byte, whole func([]byte) bool) []byte {
	if !l.send(send) {
		return nil
	}
	return l.hear(l.wait, whole)
}

func (l *line) send(b []byte) bool {
	if l.SetWriteDeadline(time.Now().Add(l.wait)) != nil {
		return false
	}
	if l.asked = nil; len(b) >= leastEcho {
		l.asked = b[:min(len(b), mostEcho)]
	}
	_, err := l.Write(b)
	return err == nil
}

// exactly reads n bytes; nil when they do not come in time.
func (l *line) exactly(n int) []byte {
	if n < 0 || n > maxAnswer || l.SetReadDeadline(time.Now().Add(l.wait)) != nil {
		return nil
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(l, b); err != nil {
		return nil
	}
	return b
}

// framed reads a head of n bytes, of which size tells how many follow, and returns
// both together; nil when they do not come or are too many.
func (l *line) framed(n int, size func(head []byte) int) []byte {
	head := l.exactly(n)
	if head == nil {
		return nil
	}
	rest := l.exactly(size(head))
	if rest == nil {
		return nil
	}
	return append(head, rest...)
}
