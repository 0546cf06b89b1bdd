//go:build linux

package hostile_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/amoskys/amoskys/internal/identity"
)

// frameOverhead is what each frame costs on the wire beside its payload: its header,
// and that of a TLS record of its own.
const frameOverhead = 9 + 22

// raw is a client that speaks HTTP/2 as it likes. It keeps to the windows that it
// is given, because gRPC itself ends the streams of those who do not.
type raw struct {
	conn   *tls.Conn
	closed chan struct{}

	mu      sync.Mutex // guards writing and all below
	framer  *http2.Framer
	block   bytes.Buffer
	encoder *hpack.Encoder
	next    uint32
	initial int64
	window  int64
	streams map[uint32]*int64
	moved   chan struct{} // takes one value when a window has grown
	sent    atomic.Int64
	calls   atomic.Int64
}

// dialRaw connects and gives the server so much window for each of its answers.
func dialRaw(ctx context.Context, a *attacker, window uint32) (*raw, error) {
	cfg, err := identity.ClientConfig(a.files, identity.ClientOptions{ServerName: "localhost", ServerRole: a.server})
	if err != nil {
		return nil, err
	}
	cfg = cfg.Clone()
	cfg.NextProtos = []string{"h2"}
	dialer := tls.Dialer{Config: cfg}
	c, err := dialer.DialContext(ctx, "tcp", a.addr)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*tls.Conn)
	if !ok {
		return nil, errors.New("no TLS connection")
	}
	r := &raw{
		conn: conn, closed: make(chan struct{}), framer: http2.NewFramer(conn, conn), next: 1,
		initial: 65535, window: 65535, streams: map[uint32]*int64{}, moved: make(chan struct{}, 1),
	}
	r.encoder = hpack.NewEncoder(&r.block)
	_ = conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := r.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	go r.read()
	context.AfterFunc(ctx, func() { _ = conn.NetConn().Close() }) // it may be blocked in a write
	return r, nil
}

// read takes what the server sends, and drops it, until the connection ends.
func (r *raw) read() {
	defer close(r.closed)
	for {
		f, err := r.framer.ReadFrame()
		if err != nil {
			return
		}
		r.mu.Lock()
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				if v, ok := f.Value(http2.SettingInitialWindowSize); ok {
					for _, w := range r.streams {
						*w += int64(v) - r.initial
					}
					r.initial = int64(v)
				}
				_ = r.framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = r.framer.WritePing(true, f.Data)
			}
		case *http2.WindowUpdateFrame:
			if f.StreamID == 0 {
				r.window += int64(f.Increment)
			} else if w := r.streams[f.StreamID]; w != nil {
				*w += int64(f.Increment)
			}
		case *http2.RSTStreamFrame:
			delete(r.streams, f.StreamID)
		case *http2.HeadersFrame:
			if f.StreamEnded() {
				delete(r.streams, f.StreamID)
			}
		case *http2.DataFrame:
			if n := f.Header().Length; n > 0 {
				_ = r.framer.WriteWindowUpdate(0, n)
			}
		}
		r.mu.Unlock()
		select {
		case r.moved <- struct{}{}:
		default:
		}
	}
}

func (r *raw) close() {
	_ = r.conn.NetConn().Close()
	<-r.closed
}

// open begins a call.
func (r *raw) open(method string, more ...hpack.HeaderField) (uint32, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.block.Reset()
	fields := append([]hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "https"},
		{Name: ":path", Value: method},
		{Name: ":authority", Value: "localhost"},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "te", Value: "trailers"},
	}, more...)
	for _, f := range fields {
		if err := r.encoder.WriteField(f); err != nil {
			return 0, err
		}
	}
	r.sent.Add(int64(frameOverhead + r.block.Len()))
	id := r.next
	r.next += 2
	w := r.initial
	r.streams[id] = &w
	r.calls.Add(1)
	_ = r.conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
	return id, r.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: r.block.Bytes(), EndHeaders: true})
}

// pending is what is still to be sent on a stream: the rest of a message, and then
// the message so many times more.
type pending struct {
	id            uint32
	rest, message []byte
	more          int
	end           bool // of the stream, behind it
}

// pump sends what there is, in frames of at most so many bytes, taking turns, as
// far as the windows go, until all is sent or ctx or the connection ends.
func (r *raw) pump(ctx context.Context, all []pending, frame int) {
	for len(all) > 0 {
		progress := false
		kept := all[:0]
		for _, p := range all {
			n, alive, err := r.piece(p, frame)
			if err != nil {
				return
			}
			progress = progress || n > 0
			if p.rest = p.rest[n:]; len(p.rest) == 0 && p.more > 0 {
				p.rest = p.message
				p.more--
			}
			if alive && len(p.rest) > 0 {
				kept = append(kept, p)
			}
		}
		all = kept
		if progress && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-r.closed:
			return
		case <-r.moved:
		}
	}
}

func (r *raw) piece(p pending, frame int) (n int, alive bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.streams[p.id]
	if w == nil {
		return 0, false, nil
	}
	n = int(min(int64(frame), int64(len(p.rest)), *w, r.window))
	if n <= 0 {
		return 0, true, nil
	}
	*w -= int64(n)
	r.window -= int64(n)
	r.sent.Add(int64(frameOverhead + n))
	_ = r.conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
	return n, true, r.framer.WriteData(p.id, p.end && p.more == 0 && n == len(p.rest), p.rest[:n])
}

// answered waits until the server has ended all calls, too.
func (r *raw) answered(ctx context.Context) {
	for ctx.Err() == nil {
		r.mu.Lock()
		left := len(r.streams)
		r.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-ctx.Done():
		case <-r.closed:
			return
		case <-r.moved:
		}
	}
}

// hold waits for the end of ctx or of the connection.
func (r *raw) hold(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-r.closed:
	}
}

// framed is a message with gRPC's prefix.
func framed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}
