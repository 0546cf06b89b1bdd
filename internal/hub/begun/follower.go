// Package begun knows which gRPC messages have been begun on a connection and not
// finished, and bounds what they cost. gRPC has no hook for them: it gathers a
// message until it is whole, however many are under way and however long they take.
//
// A Follower reads along with a server's connection, after TLS: the frames that come
// in (RFC 9113) with the prefix of each gRPC message, and the headers of the frames
// that go out, which end streams and widen windows. It holds nothing of what it
// reads. A Budget is what all connections share: a message that has begun waits
// there for the room that it says it will need, and by waiting stops the reading of
// its connection alone.
//
//	state of a stream          event                       next
//	idle                       first byte of a prefix      begun, length unknown
//	begun, length unknown      fifth byte of the prefix    begun, waits for room; or ignored, if it is too long
//	begun, waits for room      room given                  begun, with room
//	begun, with or without     last byte of the message    idle, room given back
//	any                        end of the stream           forgotten, room given back
package begun

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Why a connection is not followed any further; it must be closed. Reason gives the
// short word of each.
var (
	ErrFrames   = errors.New("what came is not HTTP/2 as it is spoken to a server")
	ErrStreams  = errors.New("more streams are open than can be followed")
	ErrUnread   = errors.New("more is sent than is read")
	ErrBegun    = errors.New("too much is begun and not finished")
	ErrStalled  = errors.New("a message was begun and not finished in time")
	ErrNoRoom   = errors.New("there was no room for a message in time")
	errNotOpen  = errors.New("connection is closed")
	errNoLength = errors.New("length of a frame is out of bounds")
)

// Frame types and flags of RFC 9113, section 6.
const (
	frameData         = 0
	frameHeaders      = 1
	frameReset        = 3
	framePushPromise  = 5
	frameWindowUpdate = 8
	frameContinuation = 9

	flagEndStream = 1
	flagPadded    = 8
)

const (
	headerBytes = 9
	prefixBytes = 5
	// maxFrame is the size that a server's settings allow unless they say
	// otherwise, which gRPC's do not (section 6.5.2).
	maxFrame = 16 << 10
	// preface is what a client's connection begins with (section 3.4).
	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	// maxFollowed bounds the streams of one connection here. gRPC resets those
	// beyond its own bound, so that there are seldom more than that.
	maxFollowed = 4096
)

// frame is the frame that one direction is in.
type frame struct {
	header [headerBytes]byte
	have   int    // bytes of header
	left   uint32 // bytes of payload
	id     uint32 // of the stream
	kind   byte
	flags  byte
	padded bool // the length of the padding is still to come
	pad    uint32
}

// Follower follows one connection. Received and Sent may be called concurrently
// with each other, as a connection's Read and Write are.
type Follower struct {
	budget  *Budget
	account *account
	cut     func(why error) // closes the connection

	ctx    context.Context    //nolint:containedctx // the life of the connection, for whom waits for room
	cancel context.CancelFunc //

	mu      sync.Mutex // guards all below
	in, out frame
	opening int // bytes of the preface that have come
	headers int // bytes of headers in the present Received
	streams map[uint32]*stream
	spare   *stream  // one that was forgotten, for the next
	fresh   []uint32 // streams whose message began in the present Received
	begun   int      // streams with a begun message
	room    int64    // given for them
	unread  int64    // see stream.unread
	told    int64    // of unread, what the account knows
	closed  bool
	why     error // why it was cut, if it was
}

// stream is one stream that the client has not ended.
type stream struct {
	prefix [prefixBytes]byte
	have   int    // bytes of prefix
	left   uint32 // bytes of the message still to come
	ignore bool   // nothing of it counts any more: it has ended, or a message is too long and gRPC will end it
	room   int64  // given for the present message
	asked  bool   // the message has asked for room
	got    int64  // bytes of the message
	since  time.Time
	credit int64 // what its window has left, as the client must see it
	// overhead is what the frames since the window was last whole cost beside
	// what they carry.
	overhead int64
	unread   int64
}

// Received reads what was read from the connection, before gRPC does. It blocks
// while a message that began in it has no room, or its identity leaves too much
// unread, brings too little at a time or too much of headers. With an error the connection has
// been cut.
func (f *Follower) Received(b []byte) error {
	f.mu.Lock()
	if f.closed {
		defer f.mu.Unlock()
		return f.ended()
	}
	err := f.receive(b)
	if err == nil && f.unread > f.budget.limits.ConnectionUnread {
		err = ErrUnread
	}
	over := f.tellUnread()
	fresh, headers := len(f.fresh) > 0, f.headers
	f.headers = 0
	f.mu.Unlock()
	if err == nil {
		err = f.budget.pace(f, len(b) < tinyRead, int64(headers))
	}
	if over && err == nil {
		err = f.budget.waitUnread(f)
	}
	if fresh && err == nil {
		err = f.askForRoom()
	}
	if err != nil {
		f.end(err)
	}
	return err
}

// ended says why. The caller holds mu.
func (f *Follower) ended() error {
	if f.why != nil {
		return f.why
	}
	return errNotOpen
}

// tellUnread tells the account and the budget what changed and reports whether it grew
// beyond a bound. The caller holds mu.
func (f *Follower) tellUnread() (over bool) {
	delta := f.unread - f.told
	if delta == 0 {
		return false
	}
	f.told = f.unread
	ofAll := f.budget.unread.count(delta, f.budget.limits.HubUnread)
	return f.account.unread.count(delta, f.budget.limits.IdentityUnread) || ofAll
}

func (f *Follower) receive(b []byte) error {
	if f.opening < len(preface) {
		n := min(len(b), len(preface)-f.opening)
		if string(b[:n]) != preface[f.opening:f.opening+n] {
			return fmt.Errorf("%w: it does not begin as HTTP/2", ErrFrames)
		}
		f.opening += n
		b = b[n:]
	}
	for len(b) > 0 {
		if f.in.have < headerBytes {
			b = f.in.take(b)
			if f.in.have < headerBytes {
				return nil
			}
			if err := f.begin(); err != nil {
				return err
			}
		}
		n := min(int(f.in.left), len(b))
		if err := f.payload(b[:n]); err != nil {
			return err
		}
		b = b[n:]
		if f.in.left == 0 {
			f.finish()
		}
	}
	return nil
}

// take gathers the header of a frame.
func (r *frame) take(b []byte) []byte {
	n := copy(r.header[r.have:], b)
	r.have += n
	if r.have == headerBytes {
		h := &r.header
		r.left = uint32(h[0])<<16 | uint32(h[1])<<8 | uint32(h[2])
		r.kind, r.flags = h[3], h[4]
		r.id = binary.BigEndian.Uint32(h[5:]) & (1<<31 - 1)
		r.pad, r.padded = 0, false
	}
	return b[n:]
}

// begin looks at the header of a frame that came.
func (f *Follower) begin() error {
	r := &f.in
	switch {
	case r.left > maxFrame:
		return fmt.Errorf("%w: %w", ErrFrames, errNoLength)
	case r.kind == framePushPromise:
		return fmt.Errorf("%w: a client promises nothing", ErrFrames)
	case r.kind == frameHeaders && r.flags&flagEndStream == 0 && r.id%2 == 1 && f.streams[r.id] == nil:
		return f.open(r.id)
	case r.kind == frameData:
		r.padded = r.flags&flagPadded != 0
		if s := f.streams[r.id]; s != nil {
			f.charge(s, int64(r.left))
		}
	}
	return nil
}

func (f *Follower) open(id uint32) error {
	if len(f.streams) >= maxFollowed {
		return ErrStreams
	}
	s := f.spare
	f.spare = nil
	if s == nil {
		s = new(stream)
	}
	*s = stream{credit: f.budget.limits.Window}
	f.streams[id] = s
	return nil
}

// payload reads a part of a frame's payload.
func (f *Follower) payload(b []byte) error {
	r := &f.in
	r.left -= uint32(len(b))
	if r.kind == frameHeaders || r.kind == frameContinuation {
		f.headers += len(b)
	}
	if r.kind != frameData || len(b) == 0 {
		return nil
	}
	if r.padded {
		r.padded, r.pad = false, uint32(b[0])
		if r.pad > r.left+uint32(len(b))-1 {
			return fmt.Errorf("%w: padding longer than its frame", ErrFrames)
		}
		b = b[1:]
	}
	// The padding comes last: r.left bytes follow, of which r.pad are padding.
	if over := int64(r.pad) - int64(r.left); over > 0 {
		b = b[:max(0, int64(len(b))-over)]
	}
	if s := f.streams[r.id]; s != nil {
		f.message(r.id, s, b)
	}
	return nil
}

// finish ends a frame that came.
func (f *Follower) finish() {
	r := &f.in
	r.have = 0
	switch r.kind {
	case frameReset:
		f.forget(r.id)
	case frameData, frameHeaders:
		s := f.streams[r.id]
		if s == nil {
			return
		}
		if r.flags&flagEndStream != 0 {
			// What it sent may be unread yet, until the server has ended it as well.
			f.done(s)
			s.ignore = true
		}
		f.reckon(s)
	}
}

// message reads bytes of a stream's messages.
func (f *Follower) message(id uint32, s *stream, b []byte) {
	for len(b) > 0 && !s.ignore {
		if s.have == 0 {
			f.begun++
			if n := len(f.fresh); n == 0 || f.fresh[n-1] != id {
				f.fresh = append(f.fresh, id)
			}
			s.got, s.asked, s.since = 0, false, time.Time{}
		}
		if s.have < prefixBytes {
			n := copy(s.prefix[s.have:], b)
			s.have += n
			s.got += int64(n)
			b = b[n:]
			if s.have < prefixBytes {
				return
			}
			size := binary.BigEndian.Uint32(s.prefix[1:])
			if int64(size) > f.budget.limits.Message {
				f.done(s)
				s.ignore = true // gRPC refuses it by its length
				return
			}
			s.left = size
		}
		n := min(int(s.left), len(b))
		s.left -= uint32(n)
		s.got += int64(n)
		b = b[n:]
		if s.left == 0 {
			f.done(s)
		}
	}
}

// done ends a stream's present message and gives its room back.
func (f *Follower) done(s *stream) {
	if s.have == 0 {
		return
	}
	f.begun--
	s.have, s.left = 0, 0
	if s.room > 0 {
		f.room -= s.room
		f.budget.leave(f.account, s.room)
		s.room = 0
		f.reckon(s)
	}
}

// forget ends a stream.
func (f *Follower) forget(id uint32) {
	s := f.streams[id]
	if s == nil {
		return
	}
	f.done(s)
	f.unread -= s.unread
	delete(f.streams, id)
	f.spare = s
}

// Sent reads what is about to be written to the connection.
func (f *Follower) Sent(b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &f.out
	for len(b) > 0 {
		if r.have < headerBytes {
			if b = r.take(b); r.have < headerBytes {
				break
			}
		}
		n := min(int(r.left), len(b))
		if r.kind == frameWindowUpdate {
			for _, c := range b[:n] {
				r.pad = r.pad<<8 | uint32(c) // pad serves as the increment
			}
		}
		r.left -= uint32(n)
		b = b[n:]
		if r.left == 0 {
			f.sent()
		}
	}
	f.tellUnread()
}

// sent acts on a frame that goes out.
func (f *Follower) sent() {
	r := &f.out
	r.have = 0
	switch {
	case r.kind == frameReset, (r.kind == frameData || r.kind == frameHeaders) && r.flags&flagEndStream != 0:
		f.forget(r.id)
	case r.kind == frameWindowUpdate:
		if s := f.streams[r.id]; s != nil {
			f.widen(s, int64(r.pad&(1<<31-1)))
		}
	}
}

// Context is done when the connection has ended.
func (f *Follower) Context() context.Context { return f.ctx }

// Close gives all room back. The connection is closed, or about to be.
func (f *Follower) Close() { f.close(nil) }

func (f *Follower) close(why error) (first bool) {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return false
	}
	f.closed, f.why = true, why
	f.cancel()
	for id := range f.streams {
		f.forget(id)
	}
	f.tellUnread()
	f.mu.Unlock()
	f.budget.drop(f)
	return true
}

// end closes the connection, for a reason that its next Received returns.
func (f *Follower) end(why error) {
	if f.close(why) {
		f.cut(why)
	}
}
