package backup

import (
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// behindWindow is how much is read between two looks at the page cache, in bytes. It is a
// multiple of every page's size.
const behindWindow = 4 << 20

// behind reads a file and has the kernel forget what was read, but what was in memory
// before: a backup that is read once shall not take the room of what others read again and
// again, nor take from them what they have there (mincore(2), posix_fadvise(2)).
type behind struct {
	r       io.Reader
	file    *os.File
	at, end int64 // what is read, and where the window ends
	keep    bool  // the window was in memory before
	next    bool  // so was the one behind it, into which the kernel reads ahead
}

// Behind returns a reader of r, whose bytes are those of file from its beginning on, that
// leaves nothing in the page cache which was not there before. Closing it leaves the file
// open: whoever reads no further than to the last byte is not told of an end, by which the
// last of it would be known.
func Behind(r io.Reader, file *os.File) io.ReadCloser { return &behind{r: r, file: file} }

// Read implements io.Reader.
func (b *behind) Read(p []byte) (int, error) {
	if b.at >= b.end {
		b.leave()
		if b.keep = b.next; b.at == 0 {
			b.keep = resident(b.file, 0, behindWindow)
		}
		b.end = b.at + behindWindow
		b.next = resident(b.file, b.end, behindWindow)
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.end-b.at)])
	b.at += int64(n)
	if err != nil {
		b.leave()
	}
	return n, err //nolint:wrapcheck // it is the reader's
}

// Close implements io.Closer.
func (b *behind) Close() error {
	b.leave()
	b.keep = true // all is done
	return nil
}

// leave has the kernel forget the window, or what was read of it.
func (b *behind) leave() {
	from := b.end - behindWindow
	if b.keep || b.end == 0 || b.at <= from {
		return
	}
	// To the end of the page: one that is forgotten in part is not.
	length := (b.at - from + int64(os.Getpagesize()) - 1) / int64(os.Getpagesize()) * int64(os.Getpagesize())
	_ = unix.Fadvise(int(b.file.Fd()), from, length, unix.FADV_DONTNEED) // it is advice
}

// resident reports whether most of a part of a file is in memory.
func resident(file *os.File, from, length int64) bool {
	info, err := file.Stat()
	if err != nil || info.Size() <= from {
		return false
	}
	length = min(length, info.Size()-from)
	page := int64(os.Getpagesize())
	pages := (length + page - 1) / page
	m, err := unix.Mmap(int(file.Fd()), from, int(length), unix.PROT_NONE, unix.MAP_SHARED)
	if err != nil {
		return true // not known: it stays
	}
	defer unix.Munmap(m) //nolint:errcheck // nothing is in it
	in := make([]byte, pages)
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(length), uintptr(unsafe.Pointer(&in[0]))) //nolint:gosec // as mincore(2) has it
	if errno != 0 {
		return true
	}
	there := int64(0)
	for _, b := range in {
		there += int64(b & 1)
	}
	return 2*there > pages
}

// forget has the kernel forget what was written to a file and is durable.
func forget(file *os.File) { _ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED) } // it is advice

// Levels of priority that a backup has beside others: half of those that there are
// (setpriority(2)), and the last of those that share the disk by time (ioprio_set(2)).
const (
	yieldNice    = 10
	ioPrioWho    = 1 // IOPRIO_WHO_PROCESS, which is a thread
	ioPrioShares = 2 // IOPRIO_CLASS_BE
	ioPrioLast   = ioPrioShares<<13 | 7
)

// Yield has this process stand back behind others for the processor and the disk, all its
// threads and those that come: acknowledgements shall not wait for a backup. What the system
// does not allow stays as it is.
func Yield() {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, t := range threads {
		id := 0
		for _, c := range t.Name() {
			id = id*10 + int(c-'0')
		}
		_ = unix.Setpriority(unix.PRIO_PROCESS, id, yieldNice)
		_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ioPrioWho, uintptr(id), ioPrioLast)
	}
}
