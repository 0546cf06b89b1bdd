package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

const (
	// quietAfter is how long Next waits for frames, and quietLater how long when none
	// came the last quietOften times.
	quietAfter = 100 * time.Millisecond
	quietLater = 250 * time.Millisecond
	quietOften = 10
)

// ring is a source whose frames the kernel writes into memory that is shared with it,
// in blocks. A block belongs to the kernel or to us, as its status says:
//
//	kernel ──(full, or 20 ms old)──▶ ours ──(all its frames were read)──▶ kernel
type ring struct {
	fd       int
	socket   *os.File        // of fd, which the runtime watches
	conn     syscall.RawConn // the same, to wait on
	quiet    int             // how often in a row no frame came
	on       Interface
	link     packet.Link
	segments bool // a virtio_net_hdr lies before each frame
	memory   []byte
	size     int // of a block

	block int    // the one that is read, or waited for
	held  []byte // its bytes, nil while it is the kernel's
	at    uint32 // offset in held of the next frame
	left  uint32 // frames of it that are still to be read

	stats ringStats
}

var (
	_ Source  = (*ring)(nil)
	_ batcher = (*ring)(nil)
)

// ringStats are counts that Stats gives to any goroutine. Next publishes its own with
// each block.
type ringStats struct {
	frames, bytes, offloaded                   uint64
	publicFrames, publicBytes, publicOffloaded atomic.Uint64

	mu              sync.Mutex // guards what follows, and the socket against its end
	closed          bool
	dropped, frozen uint64
}

// status is the word by which a block changes hands.
func (r *ring) status() *uint32 {
	block := r.memory[r.block*r.size:]
	return &(*unix.TpacketHdrV1)(unsafe.Pointer(&block[unsafe.Offsetof(unix.TpacketBlockDesc{}.Hdr)])).Block_status //nolint:gosec // within the ring: see above
}

// ours says whether the block is.
func (r *ring) ours() bool { return atomic.LoadUint32(r.status())&unix.TP_STATUS_USER != 0 }

// Next gives the next frame, which lies in the ring until Next is called again.
func (r *ring) Next(f *packet.Frame) error {
	for {
		for r.left > 0 {
			taken, err := r.take(f)
			if err != nil {
				return err
			}
			if taken {
				r.stats.frames++
				r.stats.bytes += uint64(f.Wire)
				return nil
			}
		}
		r.release()
		if !r.ours() {
			if err := r.wait(); err != nil {
				return err
			}
			if !r.ours() {
				r.quiet++
				return ErrQuiet
			}
		}
		r.quiet = 0
		r.hold()
	}
}

// Batch gives the next frame, and those behind it in the same block, which is given
// back to the kernel with the next call.
func (r *ring) Batch(frames []packet.Frame) (int, error) {
	if err := r.Next(&frames[0]); err != nil {
		return 0, err
	}
	n := 1
	for n < len(frames) && r.left > 0 {
		// What is wrong with a ring is wrong with all that follows: the call after this
		// one meets it again.
		at, left := r.at, r.left
		taken, err := r.take(&frames[n])
		if err != nil {
			r.at, r.left = at, left
			break
		}
		if taken {
			r.stats.frames++
			r.stats.bytes += uint64(frames[n].Wire)
			n++
		}
	}
	return n, nil
}

// hold takes over a block that is ours.
func (r *ring) hold() {
	r.held = r.memory[r.block*r.size : (r.block+1)*r.size : (r.block+1)*r.size]
	h := (*unix.TpacketHdrV1)(unsafe.Pointer(&r.held[unsafe.Offsetof(unix.TpacketBlockDesc{}.Hdr)])) //nolint:gosec // within the ring: see above
	r.at, r.left = h.Offset_to_first_pkt, h.Num_pkts
}

// release gives the block that was read back to the kernel and goes on to the next.
func (r *ring) release() {
	r.stats.publish()
	if r.held == nil {
		return
	}
	r.held = nil
	atomic.StoreUint32(r.status(), unix.TP_STATUS_KERNEL)
	r.block = (r.block + 1) % (len(r.memory) / r.size)
}

// take reads the frame at r.at; taken is false for one that is not to be seen.
func (r *ring) take(f *packet.Frame) (taken bool, err error) {
	at := int(r.at)
	if at+packetHeader > len(r.held) {
		return false, fmt.Errorf("the ring of %s is not as the kernel promises: a frame at %d", r.on.Name, at)
	}
	h := (*unix.Tpacket3Hdr)(unsafe.Pointer(&r.held[at])) //nolint:gosec // within the ring: see above
	r.at += h.Next_offset
	r.left--

	begin, end := at+int(h.Mac), at+int(h.Mac)+int(h.Snaplen)
	if end > len(r.held) {
		return false, fmt.Errorf("the ring of %s is not as the kernel promises: a frame of %d bytes at %d", r.on.Name, h.Snaplen, at)
	}
	if r.on.Loopback && r.outgoing(at) {
		return false, nil
	}
	f.Time = int64(h.Sec)*1e9 + int64(h.Nsec)
	f.Wire, f.Link, f.Interface, f.GSOSize = h.Len, r.link, 0, 0
	if r.segments && begin >= at+packetHeader+vnetHeader {
		f.GSOSize = segmentSize(r.held[begin-vnetHeader : begin])
		if f.GSOSize != 0 {
			r.stats.offloaded++
		}
	}
	if h.Status&unix.TP_STATUS_VLAN_VALID != 0 && r.link == packet.LinkEthernet && h.Snaplen >= 12 && begin-vlanTag >= at+packetHeader {
		tpid := uint16(unix.ETH_P_8021Q)
		if h.Status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
			tpid = h.Hv1.Vlan_tpid
		}
		begin -= vlanTag
		putTag(r.held[begin:end], tpid, uint16(h.Hv1.Vlan_tci))
		f.Wire += vlanTag
	}
	f.Data = r.held[begin:end:end]
	return true, nil
}

// outgoing says whether a frame was on its way out. The address lies behind the
// frame's header, aligned to 16 bytes.
func (r *ring) outgoing(at int) bool {
	address := (*unix.RawSockaddrLinklayer)(unsafe.Pointer(&r.held[at+(packetHeader+15)&^15])) //nolint:gosec // within the ring: see above
	return address.Pkttype == unix.PACKET_OUTGOING
}

// segmentSize reads of a virtio_net_hdr (linux/virtio_net.h) how large the segments
// are that a frame stands for, 0 for one that stands for itself.
func segmentSize(h []byte) uint16 {
	const tcp4, tcp6, udp, ecn = 1, 4, 5, 0x80
	switch h[1] &^ ecn {
	case tcp4, tcp6, udp:
		return binary.NativeEndian.Uint16(h[4:6])
	}
	return 0
}

// putTag moves the addresses of a frame that was captured without its VLAN tag to the
// front of b, which has room for the tag, and puts it behind them.
func putTag(b []byte, tpid, tci uint16) {
	copy(b[0:12], b[vlanTag:vlanTag+12])
	binary.BigEndian.PutUint16(b[12:14], tpid)
	binary.BigEndian.PutUint16(b[14:16], tci)
}

// watch has the runtime watch the socket: a thread that sits in poll(2) would be
// noticed, and its processor given away and taken back, each time.
func (r *ring) watch() error {
	if err := unix.SetNonblock(r.fd, true); err != nil {
		return fmt.Errorf("set non-blocking: %w", err)
	}
	r.socket = os.NewFile(uintptr(r.fd), "packet socket")
	conn, err := r.socket.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch the socket: %w", err)
	}
	r.conn = conn
	return nil
}

// wait sleeps until a block is ours, or for a while. It wakes too when the interface
// goes down.
func (r *ring) wait() error {
	long := quietAfter
	if r.quiet >= quietOften {
		long = quietLater
	}
	var failure unix.Errno
	err := r.socket.SetReadDeadline(time.Now().Add(long))
	if err == nil {
		err = r.conn.Read(func(uintptr) bool {
			failure = r.failure()
			return failure != 0 || r.ours()
		})
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) { // The runtime cannot, so we do.
		ready := []unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN | unix.POLLERR}}
		if _, err := unix.Poll(ready, int(long.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for frames of %s: %w", r.on.Name, err)
		}
		failure = r.failure()
	}
	switch failure {
	case 0:
		return nil
	case unix.ENETDOWN, unix.ENODEV, unix.ENXIO:
		return fmt.Errorf("interface %s: %w", r.on.Name, ErrInterfaceDown)
	default:
		return fmt.Errorf("wait for frames of %s: %w", r.on.Name, failure)
	}
}

// failure takes what went wrong with the socket, 0 if nothing.
func (r *ring) failure() unix.Errno {
	code, err := unix.GetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if errno, is := errors.AsType[unix.Errno](err); is {
		return errno
	}
	return unix.Errno(code)
}

func (s *ringStats) publish() {
	s.publicFrames.Store(s.frames)
	s.publicBytes.Store(s.bytes)
	s.publicOffloaded.Store(s.offloaded)
}

// Stats gives counts; those of frames are as of the last block that was read in full.
func (r *ring) Stats() Stats {
	s := &r.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	r.askKernel()
	return Stats{
		Frames: s.publicFrames.Load(), Bytes: s.publicBytes.Load(), Offloaded: s.publicOffloaded.Load(),
		Dropped: s.dropped, Frozen: s.frozen, SegmentsKnown: r.segments,
	}
}

// askKernel adds what the kernel counted since it was asked last.
func (r *ring) askKernel() {
	if r.stats.closed {
		return
	}
	if k, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		r.stats.dropped += uint64(k.Drops)
		r.stats.frozen += uint64(k.Freeze_q_cnt)
	}
}

// Close gives the ring back. Counts can be asked for afterwards.
func (r *ring) Close() error {
	r.stats.mu.Lock()
	defer r.stats.mu.Unlock()
	r.stats.publish()
	r.askKernel()
	if r.stats.closed {
		return nil
	}
	r.stats.closed = true
	var err error
	if r.memory != nil {
		err = unix.Munmap(r.memory)
		r.memory, r.held, r.left = nil, nil, 0
	}
	if r.socket == nil {
		return errors.Join(err, unix.Close(r.fd))
	}
	return errors.Join(err, r.socket.Close())
}
