package service

import (
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

var errCut = errors.New("the answer is longer than what is read")

// line is a connection of which a bounded number of bytes is read. It is closed when
// its context ends, so that no peer holds it.
type line struct {
	net.Conn
	ctx    context.Context //nolint:containedctx // the life of the connection is that of one question
	left   int
	wait   time.Duration // for an answer
	detach func() bool
	cut    bool
	under  *line // what TLS runs over
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
	return n, err
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
