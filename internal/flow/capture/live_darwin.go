package capture

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/amoskys/amoskys/internal/flow/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// bpfBuffer is how many bytes a device of bpf(4) is asked to gather; it grants less
// where debug.bpf_maxbufsize says so.
const bpfBuffer = blockSize

// Open begins to capture by a device of bpf(4). There is one source, whatever Fanout
// says: macOS cannot share frames among several.
func Open(o Options) ([]Source, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	on, err := Find(o.Interface)
	if err != nil {
		return nil, err
	}
	fd, err := openDevice()
	if err != nil {
		return nil, err
	}
	d := &device{fd: fd, on: on}
	if err := d.configure(o); err != nil {
		return nil, errors.Join(fmt.Errorf("capture from %s: %w", on.Name, err), d.Close())
	}
	return []Source{d}, nil
}

// openDevice opens the first device that nobody else uses.
func openDevice() (int, error) {
	for i := range 256 {
		fd, err := unix.Open(fmt.Sprintf("/dev/bpf%d", i), unix.O_RDWR|unix.O_CLOEXEC, 0)
		switch {
		case err == nil:
			return fd, nil
		case errors.Is(err, unix.EBUSY):
			continue
		case errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM):
			return -1, &PrivilegeError{Needs: "the right to read /dev/bpf*", Command: "start it with sudo, or sudo chmod g+r /dev/bpf* and sudo chgrp staff /dev/bpf*, until the next boot", Err: err}
		}
		return -1, fmt.Errorf("open /dev/bpf%d: %w", i, err)
	}
	return -1, errors.New("open /dev/bpf: all devices are in use")
}

// device is a source by bpf(4).
type device struct {
	fd     int
	on     Interface
	link   packet.Link
	buf    []byte
	filled []byte // what of buf is still to be read

	frames, bytes atomic.Uint64
	mu            sync.Mutex // guards the device against its end, and what follows
	closed        bool
	dropped       uint32
}

var _ Source = (*device)(nil)

// configure sets the device up; the filter is there before the interface, and changes
// to the one for its link type once that is known.
func (d *device) configure(o Options) error {
	size, err := syscall.SetBpfBuflen(d.fd, bpfBuffer) //nolint:staticcheck // x/sys has no such call of macOS
	if err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	d.buf = make([]byte, size)
	if err := setProgram(d.fd, []bpf.RawInstruction{{Op: 0x06}}); err != nil {
		return err
	}
	if err := syscall.SetBpfInterface(d.fd, d.on.Name); err != nil { //nolint:staticcheck // as above
		return fmt.Errorf("bind: %w", err)
	}
	link, err := syscall.BpfDatalink(d.fd) //nolint:staticcheck // as above
	if err != nil {
		return fmt.Errorf("link type: %w", err)
	}
	d.link = linkOf(uint16(link))
	if o.Promiscuous {
		if err := syscall.SetBpfPromisc(d.fd, 1); err != nil { //nolint:staticcheck // as above
			return fmt.Errorf("promiscuous mode: %w", err)
		}
	}
	wait := syscall.NsecToTimeval(int64(100 * time.Millisecond))
	if err := syscall.SetBpfTimeout(d.fd, &wait); err != nil { //nolint:staticcheck // as above
		return fmt.Errorf("timeout: %w", err)
	}
	program, err := o.program(d.link)
	if err != nil {
		return err
	}
	return setProgram(d.fd, program)
}

func setProgram(fd int, program []bpf.RawInstruction) error {
	filter := make([]syscall.BpfInsn, len(program))
	for i, in := range program {
		filter[i] = syscall.BpfInsn{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	if err := syscall.SetBpf(fd, filter); err != nil { //nolint:staticcheck // as above
		return fmt.Errorf("filter: %w", err)
	}
	return nil
}

// Next gives the next frame of the buffer, or waits for the buffer to be filled. The
// loopback interface shows each packet once.
func (d *device) Next(f *packet.Frame) error {
	if len(d.filled) == 0 {
		n, err := unix.Read(d.fd, d.buf)
		switch {
		case errors.Is(err, unix.EINTR) || err == nil && n == 0:
			return ErrQuiet
		case errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENETDOWN):
			return fmt.Errorf("interface %s: %w", d.on.Name, ErrInterfaceDown)
		case err != nil:
			return fmt.Errorf("read frames of %s: %w", d.on.Name, err)
		}
		d.filled = d.buf[:n]
	}
	if len(d.filled) < int(unsafe.Sizeof(unix.BpfHdr{})) {
		d.filled = nil
		return ErrQuiet
	}
	h := (*unix.BpfHdr)(unsafe.Pointer(&d.filled[0]))
	begin, end := int(h.Hdrlen), int(h.Hdrlen)+int(h.Caplen)
	if end > len(d.filled) || end == 0 {
		d.filled = nil
		return ErrQuiet
	}
	f.Time = int64(h.Tstamp.Sec)*1e9 + int64(h.Tstamp.Usec)*1000
	f.Data, f.Wire, f.Link = d.filled[begin:end:end], h.Datalen, d.link
	f.Interface, f.GSOSize = 0, 0
	d.filled = d.filled[min((end+3)&^3, len(d.filled)):] // BPF_WORDALIGN
	d.frames.Add(1)
	d.bytes.Add(uint64(f.Wire))
	return nil
}

// Stats gives counts. macOS does not tell of segments.
func (d *device) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.askKernel()
	return Stats{Frames: d.frames.Load(), Bytes: d.bytes.Load(), Dropped: uint64(d.dropped)}
}

func (d *device) askKernel() {
	if d.closed {
		return
	}
	if s, err := syscall.BpfStats(d.fd); err == nil { //nolint:staticcheck // as above
		d.dropped = s.Drop
	}
}

// Close gives the device back.
func (d *device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.askKernel()
	if d.closed {
		return nil
	}
	d.closed = true
	return os.NewSyscallError("close", unix.Close(d.fd))
}
