package capture

import (
	"encoding/binary"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// floodFrame is how long the frames of a flood are, floodTogether how many of them the
	// kernel is given as one, and floodBatch how many times that many with each call.
	floodFrame    = 100
	floodTogether = 32
	floodBatch    = 8
	// floodHeaders are those of Ethernet, IPv4 and UDP.
	floodHeaders = 14 + 20 + 8
)

// flood sends frames of 100 bytes at a rate, from one processor. It must have a thread of
// its own.
//
// A system call, a socket buffer and a walk through the stack for each frame take 3 µs,
// which is more than the rate has. So 32 datagrams of one flow go to the kernel as one, with
// a virtio_net_hdr that says how long each is (UDP segmentation offload), as a card would
// take them; the kernel makes them frames just before the interface, and the other end gets
// each by itself. Eight such go with each sendmmsg(2), of 64 flows in turn. (With
// PACKET_QDISC_BYPASS the kernel drops what it would have to cut.)
func (s *sender) flood(rate int, long time.Duration) (sent uint64, err error) {
	var one unix.CPUSet
	one.Set(runtime.NumCPU() - 1)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return 0, err
	}
	if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		return 0, err
	}
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 16<<20); err != nil {
		return 0, err
	}
	const flows = 64
	vectors := make([]unix.Iovec, flows)
	type message struct {
		header unix.Msghdr
		length uint32
		_      [4]byte
	}
	messages := make([]message, flows)
	for i := range messages {
		frames := floodFrames(uint16(i))
		vectors[i].Base = &frames[0]
		vectors[i].SetLen(len(frames))
		messages[i].header.Iov = &vectors[i]
		messages[i].header.SetIovlen(1)
	}
	for begin, next := time.Now(), 0; ; {
		passed := time.Since(begin)
		if passed >= long {
			return sent, nil
		}
		if float64(sent) > passed.Seconds()*float64(rate) {
			runtime.Gosched() // ahead of the rate: the loop itself is the wait
			continue
		}
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&messages[next])), floodBatch, 0, 0, 0)
		if errno != 0 && errno != unix.ENOBUFS {
			return sent, errno
		}
		if errno == 0 {
			sent += uint64(n) * floodTogether
		}
		next = (next + floodBatch) % flows
	}
}

// floodFrames are the frames of one flow, as one: a virtio_net_hdr (linux/virtio_net.h), the
// headers once, and all payloads.
func floodFrames(number uint16) []byte {
	const udp4, needsChecksum, payload = 5, 1, floodFrame - floodHeaders
	const vnet = vnetHeader
	f := make([]byte, vnet+floodHeaders+floodTogether*payload)
	f[0], f[1] = needsChecksum, udp4
	binary.NativeEndian.PutUint16(f[2:], floodHeaders)
	binary.NativeEndian.PutUint16(f[4:], payload)
	binary.NativeEndian.PutUint16(f[6:], 14+20) // where the checksum begins, and where in that it is
	binary.NativeEndian.PutUint16(f[8:], 6)
	// To a neighbour that is nobody, so that capture is all the work that the frames make.
	copy(f[vnet:], []byte{2, 0, 0, 0, 0, 0xc, 2, 0, 0, 0, 0, 0xa, 8, 0, 0x45, 0, 0, 0, 0, 0, 64, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 200, byte(number >> 8), byte(number), 0, 9})
	length := len(f) - vnet - 14
	binary.BigEndian.PutUint16(f[vnet+14+2:], uint16(length))
	binary.BigEndian.PutUint16(f[vnet+14+20+4:], uint16(length-20))
	return f
}
