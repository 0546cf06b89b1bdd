package flow

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// kernel asks sock_diag(7) for sockets and /proc for who has them.
type kernel struct {
	fd       int // of netlink, -1 while there is none
	answer   [1024]byte
	describe describer
	hot      []int // processes that had sockets at the last walks
}

// maxHot is how many processes are looked at first.
const maxHot = 64

func newSockets(hostID string) sockets {
	return &kernel{fd: -1, describe: newDescriber(hostID)}
}

func (k *kernel) close() {
	if k.fd >= 0 {
		_ = unix.Close(k.fd)
		k.fd = -1
	}
}

// inode implements sockets. It asks for one socket, which costs the same however many
// there are: of the connection, else the one that listens.
func (k *kernel) inode(protocol uint8, local, remote end) uint64 {
	switch protocol {
	case unix.IPPROTO_TCP:
		if n := k.ask(protocol, local, remote, local.port); n != 0 {
			return n
		}
		return k.ask(protocol, local, end{}, local.port) // not accepted yet, or over
	case unix.IPPROTO_UDP:
		// The kernel takes the ends of a question for one UDP socket the other way round
		// (udp_dump_one in net/ipv4/udp_diag.c).
		return k.ask(protocol, remote, local, local.port)
	}
	return 0
}

// ask returns the inode of the socket that the kernel finds, if it has this port.
func (k *kernel) ask(protocol uint8, source, destination end, port uint16) uint64 {
	if k.fd < 0 && !k.open() {
		return 0
	}
	if err := unix.Sendto(k.fd, question(protocol, source, destination), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		k.close()
		return 0
	}
	n, _, err := unix.Recvfrom(k.fd, k.answer[:], 0)
	if err != nil {
		k.close() // a late answer must not be taken for the next
		return 0
	}
	at, inode := socketOf(k.answer[:n])
	if at != port {
		return 0
	}
	return inode
}

func (k *kernel) open() bool {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return false
	}
	timeout := unix.NsecToTimeval(int64(time.Second))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		_ = unix.Close(fd)
		return false
	}
	k.fd = fd
	return true
}

// Sizes and places in messages of linux/inet_diag.h, after the header of netlink.
const (
	sizeQuestion = 56 // struct inet_diag_req_v2
	sizeAnswer   = 72 // struct inet_diag_msg
	atPort       = 4
	atInode      = 68
)

// question asks for one socket: a struct inet_diag_req_v2.
func question(protocol uint8, source, destination end) []byte {
	m := make([]byte, unix.SizeofNlMsghdr+sizeQuestion)
	binary.NativeEndian.PutUint32(m[0:], uint32(len(m)))
	binary.NativeEndian.PutUint16(m[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(m[6:], unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(m[8:], 1)
	q := m[unix.SizeofNlMsghdr:]
	q[0], q[1] = unix.AF_INET6, protocol
	binary.NativeEndian.PutUint32(q[4:], 0xffffffff) // in any state
	id := q[8:]                                      // struct inet_diag_sockid
	binary.BigEndian.PutUint16(id[0:], source.port)
	binary.BigEndian.PutUint16(id[2:], destination.port)
	if source.addr.Is4() || destination.addr.Is4() {
		q[0] = unix.AF_INET
		copy(id[4:8], source.addr[12:])
		copy(id[20:24], destination.addr[12:])
	} else {
		copy(id[4:20], source.addr[:])
		copy(id[20:36], destination.addr[:])
	}
	for i := 40; i < 48; i++ {
		id[i] = 0xff // INET_DIAG_NOCOOKIE
	}
	return m
}

// socketOf reads the local port and the inode of an answer, 0 if it has none.
func socketOf(m []byte) (port uint16, inode uint64) {
	if len(m) < unix.SizeofNlMsghdr+sizeAnswer || binary.NativeEndian.Uint16(m[4:]) != unix.SOCK_DIAG_BY_FAMILY {
		return 0, 0
	}
	a := m[unix.SizeofNlMsghdr:]
	return binary.BigEndian.Uint16(a[atPort:]), uint64(binary.NativeEndian.Uint32(a[atInode:]))
}

// walk implements sockets. Processes that had sockets before come first, then the
// youngest; it ends as soon as all are found.
func (k *kernel) walk(wanted map[uint64]*pb.Process) {
	left := len(wanted)
	tried := map[int]bool{}
	look := func(pid int) {
		if left == 0 || tried[pid] {
			return
		}
		tried[pid] = true
		if found := k.descriptors(pid, wanted); found > 0 {
			left -= found
			k.warm(pid)
		}
	}
	for _, pid := range slices.Clone(k.hot) {
		look(pid)
	}
	if left == 0 {
		return
	}
	pids := processes()
	for _, pid := range slices.Backward(pids) {
		look(pid)
	}
}

// warm makes a process one of those that are looked at first.
func (k *kernel) warm(pid int) {
	k.hot = slices.DeleteFunc(k.hot, func(p int) bool { return p == pid })
	k.hot = slices.Insert(k.hot, 0, pid)
	k.hot = k.hot[:min(len(k.hot), maxHot)]
}

// processes lists the ids of all, ascending.
func processes() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }()
	list, err := dir.Readdirnames(-1)
	if err != nil {
		return nil
	}
	pids := make([]int, 0, len(list))
	for _, name := range list {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// descriptors sets the process of sockets that it has open, and says how many are new.
func (k *kernel) descriptors(pid int, wanted map[uint64]*pb.Process) (found int) {
	dir, err := os.Open("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		return 0 // gone, or another user's
	}
	defer func() { _ = dir.Close() }()
	var target [64]byte
	var process *pb.Process
	for {
		list, err := dir.Readdirnames(1024)
		for _, name := range list {
			n, err := unix.Readlinkat(int(dir.Fd()), name, target[:])
			if err != nil {
				continue
			}
			inode := socketInode(target[:n])
			p, is := wanted[inode]
			if !is || inode == 0 || p != nil {
				continue
			}
			if process == nil {
				if process = k.describe.process(pid); process == nil {
					return found
				}
			}
			wanted[inode] = process
			found++
		}
		if err != nil || errors.Is(err, os.ErrClosed) {
			return found
		}
	}
}
