package begun

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

func testLimits() Limits {
	return Limits{
		Message: 1 << 20, Window: 64 << 10,
		Connection: 4 << 20, Identity: 8 << 20, Hub: 16 << 20,
		ConnectionUnread: 1 << 20, IdentityUnread: 3 << 20, HubUnread: 12 << 20,
		Patience: time.Second, Grace: 30 * time.Second, Rate: 2 << 10, TinyReads: 1000, HeaderRate: 1 << 20,
	}
}

// wire writes the frames of one side.
type wire struct {
	bytes.Buffer
	*http2.Framer
}

func client() *wire {
	w := &wire{}
	w.Framer = http2.NewFramer(&w.Buffer, nil)
	w.AllowIllegalWrites = true
	w.WriteString(http2.ClientPreface)
	_ = w.WriteSettings()
	return w
}

func (w *wire) open(ids ...uint32) *wire {
	for _, id := range ids {
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0x82}, EndHeaders: true})
	}
	return w
}

// message writes size bytes of a message whose prefix promises length.
func (w *wire) message(id uint32, length, size int) *wire {
	b := binary.BigEndian.AppendUint32([]byte{0}, uint32(length))
	return w.data(id, append(b, make([]byte, size)...))
}

func (w *wire) data(id uint32, b []byte) *wire {
	for len(b) > 0 {
		n := min(len(b), maxFrame)
		_ = w.WriteData(id, false, b[:n])
		b = b[n:]
	}
	return w
}

func (w *wire) taken() []byte {
	b := bytes.Clone(w.Bytes())
	w.Reset()
	return b
}

func server() *wire {
	w := &wire{}
	w.Framer = http2.NewFramer(&w.Buffer, nil)
	w.AllowIllegalWrites = true
	return w
}

// conn is a followed connection.
type conn struct {
	*Follower
	why error
}

func follow(tb testing.TB, b *Budget, identity string) *conn {
	tb.Helper()
	c := &conn{}
	c.Follower = b.Follow(identity, func(why error) { c.why = why })
	tb.Cleanup(c.Close)
	return c
}

// state is what a follower knows, to compare.
type state struct {
	Begun        int
	Room, Unread int64
	Streams      int
}

func (c *conn) state() state {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.streams {
		c.reckon(s) // a frame counts when it begins, its message's bytes as they come
	}
	return state{c.begun, c.room, c.unread, len(c.streams)}
}

func TestFollow(t *testing.T) {
	const mib = 1 << 20
	ends := func(w *wire) []byte {
		_ = w.WriteData(1, true, nil)
		return w.taken()
	}
	tests := []struct {
		name string
		in   func(*wire) []byte
		out  func(*wire)
		room int64
		n    int // begun
		err  error
	}{
		{"nothing", (*wire).taken, nil, 0, 0, nil},
		{"half a message", func(w *wire) []byte { return w.open(1).message(1, mib, 10).taken() }, nil, mib, 1, nil},
		{"half a prefix", func(w *wire) []byte { return w.open(1).data(1, []byte{0, 0}).taken() }, nil, 0, 1, nil},
		{"whole messages", func(w *wire) []byte { return w.open(1).message(1, 100, 100).message(1, 0, 0).taken() }, nil, 0, 0, nil},
		{"a whole one and half of the next", func(w *wire) []byte { return w.open(1).message(1, 100, 100).message(1, 50, 20).taken() }, nil, 50, 1, nil},
		{"two streams", func(w *wire) []byte {
			return w.open(1, 3).message(1, 100, 1).message(3, 50, 20).data(1, make([]byte, 98)).taken()
		}, nil, 150, 2, nil},
		{"too long, for gRPC to refuse", func(w *wire) []byte { return w.open(1).message(1, mib+1, 5000).taken() }, nil, 0, 0, nil},
		{"reset by the client", func(w *wire) []byte {
			w.open(1).message(1, 100, 1)
			_ = w.WriteRSTStream(1, http2.ErrCodeCancel)
			return w.taken()
		}, nil, 0, 0, nil},
		{"ended by the client in the middle", func(w *wire) []byte { return ends(w.open(1).message(1, 100, 1)) }, nil, 0, 0, nil},
		{"ended by the server", func(w *wire) []byte { return w.open(1).message(1, 100, 1).taken() }, func(w *wire) {
			_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x88}, EndHeaders: true, EndStream: true})
		}, 0, 0, nil},
		{"headers of an answer end nothing", func(w *wire) []byte { return w.open(1).message(1, 100, 1).taken() }, func(w *wire) {
			_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x88}, EndHeaders: true})
			_ = w.WriteData(1, false, make([]byte, 100))
			_ = w.WritePing(true, [8]byte{})
		}, 100, 1, nil},
		{"padding", func(w *wire) []byte {
			w.open(1)
			_ = w.WriteDataPadded(1, false, binary.BigEndian.AppendUint32([]byte{0}, 10), make([]byte, 200))
			_ = w.WriteDataPadded(1, false, make([]byte, 9), make([]byte, 255))
			return w.taken()
		}, nil, 10, 1, nil},
		{"headers in pieces", func(w *wire) []byte {
			_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
			_ = w.WriteContinuation(1, true, []byte{0x86})
			return w.message(1, 100, 1).taken()
		}, nil, 100, 1, nil},
		{"data on a stream that is not open", func(w *wire) []byte { return w.message(1, 100, 1).taken() }, nil, 0, 0, nil},
		{"no preface", func(*wire) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") }, nil, 0, 0, ErrFrames},
		{"a frame that is too long", func(w *wire) []byte {
			_ = w.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, maxFrame+1))
			return w.taken()
		}, nil, 0, 0, ErrFrames},
		{"padding longer than its frame", func(w *wire) []byte {
			w.open(1)
			_ = w.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, 1, []byte{5, 0, 0, 0})
			return w.taken()
		}, nil, 0, 1, ErrFrames},
		{"a promise", func(w *wire) []byte {
			_ = w.WriteRawFrame(http2.FramePushPromise, 0, 1, make([]byte, 10))
			return w.taken()
		}, nil, 0, 0, ErrFrames},
		{"streams without end", func(w *wire) []byte {
			for id := uint32(1); id < 3*maxFollowed; id += 2 {
				w.open(id)
			}
			return w.taken()
		}, nil, 0, 0, ErrStreams},
		{"more than a connection may begin", func(w *wire) []byte {
			for id := uint32(1); id < 12; id += 2 {
				w.open(id).message(id, mib, 1)
			}
			return w.taken()
		}, nil, 0, 0, ErrBegun},
		{"tiny frames", func(w *wire) []byte {
			w.open(1).message(1, mib, 0)
			for range 20_000 {
				_ = w.WriteData(1, false, []byte{0})
			}
			return w.taken()
		}, nil, 0, 0, ErrUnread},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sent := tt.in(client())
			for _, size := range []int{len(sent), 1, 7} {
				limits := testLimits()
				limits.TinyReads, limits.HeaderRate = 1<<30, 1<<40
				b := NewBudget(limits, time.Now)
				c := follow(t, b, "a")
				err := feed(c, sent, size)
				if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
					t.Fatalf("in pieces of %d: %v", size, err)
				}
				if err != nil {
					if c.why == nil || b.Used() != (Used{}) {
						t.Errorf("cut: %v, %+v in use", c.why, b.Used())
					}
					continue
				}
				if tt.out != nil {
					w := server()
					tt.out(w)
					for _, x := range w.taken() {
						c.Sent([]byte{x})
					}
				}
				if got := c.state(); got.Room != tt.room || got.Begun != tt.n {
					t.Errorf("in pieces of %d: %+v", size, got)
				}
				if u := b.Used(); u.Hub != tt.room || u.Identity != tt.room || u.Connection != tt.room {
					t.Errorf("in use: %+v", u)
				}
				c.Close()
				if b.Used() != (Used{}) || len(b.accounts) != 0 {
					t.Errorf("after the end: %+v", b.Used())
				}
			}
		})
	}
}

func feed(c *conn, b []byte, size int) error {
	for len(b) > 0 {
		n := min(size, len(b))
		if err := c.Received(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// TestUnread: what the server's window updates do not cover is unread, with what
// its frames cost.
func TestUnread(t *testing.T) {
	b := NewBudget(testLimits(), time.Now)
	c := follow(t, b, "a")
	if err := c.Received(client().open(1).message(1, 50_000, 50_000).taken()); err != nil {
		t.Fatal(err)
	}
	if got := c.state().Unread; got < 50_005 || got > 70_000 {
		t.Errorf("%d unread", got)
	}
	w := server()
	_ = w.WriteWindowUpdate(1, 40_000)
	c.Sent(w.taken())
	if got := c.state().Unread; got < 10_005 || got > 16_000 {
		t.Errorf("%d unread after an update", got)
	}
	_ = w.WriteWindowUpdate(1, 40_000)
	c.Sent(w.taken())
	if got := b.Used(); got != (Used{}) {
		t.Errorf("all was read: %+v", got)
	}
}

// TestUnreadOfAnIdentity: connections of an identity that leaves too much unread
// wait, and when it stays so, the one with the most goes.
func TestUnreadOfAnIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(testLimits(), time.Now)
		sent := func(streams int) []byte {
			w := client()
			for i := range streams {
				id := uint32(2*i + 1)
				w.open(id).message(id, 60_000, 60_000)
			}
			return w.taken()
		}
		conns := make([]*conn, 4)
		for i, streams := range []int{11, 14, 12, 12} {
			conns[i] = follow(t, b, "a")
			if i < 3 {
				if err := conns[i].Received(sent(streams)); err != nil {
					t.Fatal(err)
				}
			}
		}
		waited := make(chan error)
		go func() { waited <- conns[3].Received(sent(12)) }()
		synctest.Wait()
		w := server()
		for i := range 12 {
			_ = w.WriteWindowUpdate(uint32(2*i+1), 60_005)
		}
		conns[2].Sent(w.taken()) // it was read: there is room again
		if err := <-waited; err != nil {
			t.Fatal(err)
		}
		if err := conns[2].Received(server().open(99, 101, 103, 105).message(99, 60_000, 60_000).message(101, 60_000, 60_000).
			message(103, 60_000, 60_000).message(105, 60_000, 60_000).taken()); err != nil {
			t.Error(err)
		}
		begin := time.Now()
		more := server()
		for id := uint32(201); id < 216; id += 2 {
			more.open(id).message(id, 60_000, 60_000)
		}
		err := conns[2].Received(more.taken())
		if time.Since(begin) != b.limits.Patience || err != nil || !errors.Is(conns[1].why, ErrUnread) {
			t.Errorf("after %v: %v, the one with the most: %v", time.Since(begin), err, conns[1].why)
		}
	})
}

// TestUnreadOfAll: when all identities together leave too much unread, though none of
// them does, their connections wait, and when it stays so, the one with the most of the
// identity with the most goes.
func TestUnreadOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := testLimits()
		limits.HubUnread = 4 << 20
		b := NewBudget(limits, time.Now)
		sent := func(streams int) []byte {
			w := client()
			for i := range streams {
				id := uint32(2*i + 1)
				w.open(id).message(id, 60_000, 60_000)
			}
			return w.taken()
		}
		var conns []*conn
		for i, streams := range []int{11, 14, 12, 12, 12} {
			c := follow(t, b, string(rune('a'+i)))
			if err := c.Received(sent(streams)); err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
		if used := b.Used(); used.HubUnread < 61*60_000 || used.IdentityUnread > limits.IdentityUnread {
			t.Fatalf("%+v", used)
		}
		last := follow(t, b, "last")
		waited := make(chan error)
		go func() { waited <- last.Received(sent(12)) }()
		synctest.Wait()
		w := server()
		for i := range 12 {
			_ = w.WriteWindowUpdate(uint32(2*i+1), 60_005)
		}
		conns[2].Sent(w.taken()) // it was read: there is room again
		if err := <-waited; err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		err := follow(t, b, "one more").Received(sent(12))
		if time.Since(begin) != limits.Patience || err != nil || !errors.Is(conns[1].why, ErrUnread) {
			t.Errorf("after %v: %v, the one with the most: %v", time.Since(begin), err, conns[1].why)
		}
		for _, c := range conns {
			c.Close()
		}
	})
}

// TestRoom: a message waits for the room of its identity, and then that connection
// goes which holds the most.
func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(testLimits(), time.Now)
		big, small, third := follow(t, b, "a"), follow(t, b, "a"), follow(t, b, "a")
		for _, x := range []struct {
			c *conn
			n int
		}{{big, 4}, {small, 3}, {third, 1}} {
			if err := x.c.Received(halves(x.n)); err != nil {
				t.Fatal(err)
			}
		}
		// Others are not touched by a full share.
		if err := follow(t, b, "b").Received(halves(4)); err != nil {
			t.Error(err)
		}
		begin := time.Now()
		if err := third.Received(server().open(9).message(9, 1<<20, 0).taken()); err != nil {
			t.Error(err)
		}
		if time.Since(begin) != b.limits.Patience || !errors.Is(big.why, ErrBegun) || small.why != nil {
			t.Errorf("after %v: big %v, small %v", time.Since(begin), big.why, small.why)
		}
	})
}

// halves begins n messages of 1 MiB.
func halves(n int) []byte {
	w := client()
	for i := range n {
		id := uint32(2*i + 1)
		w.open(id).message(id, 1<<20, 100)
	}
	return w.taken()
}

// TestRoomOfTheHub: when all room is taken, that identity gives way which holds the
// most; when all hold little, the newcomer does.
func TestRoomOfTheHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := testLimits()
		limits.Hub = 9 << 20
		b := NewBudget(limits, time.Now)
		greedy := []*conn{follow(t, b, "greedy"), follow(t, b, "greedy")}
		for _, c := range greedy {
			if err := c.Received(halves(4)); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			if err := follow(t, b, name).Received(halves(1)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if (greedy[0].why == nil) == (greedy[1].why == nil) {
			t.Errorf("greedy: %v and %v", greedy[0].why, greedy[1].why)
		}
		limits.Hub, limits.Identity = 2<<20, 100<<20
		b = NewBudget(limits, time.Now)
		one, two := follow(t, b, "a"), follow(t, b, "b")
		if err := errors.Join(one.Received(halves(1)), two.Received(halves(1))); err != nil {
			t.Fatal(err)
		}
		if err := follow(t, b, "c").Received(halves(1)); !errors.Is(err, ErrNoRoom) || one.why != nil || two.why != nil {
			t.Errorf("a full hub: %v, %v, %v", err, one.why, two.why)
		}
	})
}

// TestSweep: a message has its time, and more while it makes progress; none that
// cannot go on because it is not read.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(testLimits(), time.Now)
		stalled, slow, prefix, idle, blocked := follow(t, b, "a"), follow(t, b, "b"), follow(t, b, "c"), follow(t, b, "d"), follow(t, b, "e")
		for c, sent := range map[*conn][]byte{
			stalled: halves(1),
			slow:    client().open(1).message(1, 256<<10, 0).taken(),
			prefix:  client().open(1).data(1, []byte{0}).taken(),
			idle:    client().open(1).message(1, 100, 100).taken(),
			blocked: client().open(1).message(1, 256<<10, 64<<10).taken(),
		} {
			if err := c.Received(sent); err != nil {
				t.Fatal(err)
			}
		}
		for range 63 { // 4 KiB a second, as it is read
			<-time.After(time.Second)
			b.Sweep()
			w := server()
			_ = w.WriteWindowUpdate(1, 4<<10)
			slow.Sent(w.taken())
			if err := slow.Received(server().data(1, make([]byte, 4<<10)).taken()); err != nil {
				t.Fatal(err)
			}
		}
		if !errors.Is(stalled.why, ErrStalled) || !errors.Is(prefix.why, ErrStalled) {
			t.Errorf("stalled: %v, %v", stalled.why, prefix.why)
		}
		if slow.why != nil || idle.why != nil || blocked.why != nil {
			t.Errorf("slow: %v, idle: %v, blocked: %v", slow.why, idle.why, blocked.why)
		}
		w := server()
		_ = w.WriteWindowUpdate(1, 64<<10)
		blocked.Sent(w.taken())
		<-time.After(20 * time.Second)
		b.Sweep()
		if blocked.why != nil {
			t.Errorf("blocked until now: %v", blocked.why)
		}
		<-time.After(time.Minute)
		b.Sweep()
		if !errors.Is(blocked.why, ErrStalled) {
			t.Errorf("blocked no more: %v", blocked.why)
		}
	})
}
