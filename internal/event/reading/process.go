package reading

import (
	"strconv"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// usage is a ProcessUsage.
type usage struct {
	cpu                        float64
	memory, readBytes, written uint64
	descriptors, threads       uint32
	state                      pb.ProcessState
	hasDescriptors             bool
}

// process reads a ProcessActivity: a reading, or the end of the process.
func (r *Reader) process(b []byte, ended bool) bool {
	var pid uint32
	var uid, name, use []byte
	f := fields{rest: b}
	for f.next() {
		switch {
		case f.isText() && f.number == 2:
			pid, uid, name = processNames(f.bytes)
		case f.isText() && f.number == 6:
			use = f.bytes
		}
	}
	if !f.ok() || !ended && use == nil {
		return false
	}
	s := &r.set
	number := r.decimal(uint64(pid))
	s.Source, s.Ended = SourceProcess, ended
	if s.Subject = label(uid); s.Subject == "" {
		s.Subject = number
	}
	if ended {
		return true
	}
	var u usage
	if !u.read(use) {
		return false
	}
	s.cpu, s.memory = clean(u.cpu), float64(u.memory)
	labels := r.labelled(Label{"pid", number}, Label{"process", label(name)})
	r.add("process_cpu_percent", Gauge, labels, u.cpu)
	r.add("process_memory_bytes", Gauge, labels, float64(u.memory))
	if u.hasDescriptors {
		r.add("process_file_descriptors", Gauge, labels, float64(u.descriptors))
	}
	r.add("process_thread_count", Gauge, labels, float64(u.threads))
	r.add("process_state", Gauge, r.labelled(Label{"pid", number}, Label{"process", label(name)}, Label{"state", stateWord(u.state)}), 1)
	if u.readBytes > 0 || u.written > 0 { // else it may not be read
		r.addDetail("process_read_bytes_total", Counter, labels, float64(u.readBytes))
		r.addDetail("process_write_bytes_total", Counter, labels, float64(u.written))
	}
	return true
}

// processNames reads a Process.
func processNames(b []byte) (pid uint32, uid, name []byte) {
	f := fields{rest: b}
	for f.next() {
		switch {
		case f.isNumber() && f.number == 1:
			pid = uint32(f.value)
		case f.isText() && f.number == 2:
			uid = f.bytes
		case f.isText() && f.number == 4:
			name = f.bytes
		}
	}
	return pid, uid, name
}

// read reads a ProcessUsage.
func (u *usage) read(b []byte) bool {
	f := fields{rest: b}
	for f.next() {
		if f.number == 1 && f.isFloat() {
			u.cpu = f.float()
			continue
		}
		if !f.isNumber() {
			continue
		}
		switch f.number {
		case 2:
			u.memory = f.value
		case 4:
			u.descriptors, u.hasDescriptors = uint32(f.value), true
		case 5:
			u.threads = uint32(f.value)
		case 6:
			u.state = pb.ProcessState(f.value)
		case 9:
			u.readBytes = f.value
		case 10:
			u.written = f.value
		}
	}
	return f.ok()
}

// stateWord is the label of a state, in the words of the guide where it has one.
func stateWord(s pb.ProcessState) string {
	switch s {
	case pb.ProcessState_PROCESS_STATE_RUNNING:
		return "running"
	case pb.ProcessState_PROCESS_STATE_SLEEPING:
		return "sleeping"
	case pb.ProcessState_PROCESS_STATE_DISK_SLEEP:
		return "disk_sleep"
	case pb.ProcessState_PROCESS_STATE_STOPPED:
		return "stopped"
	case pb.ProcessState_PROCESS_STATE_TRACED:
		return "traced"
	case pb.ProcessState_PROCESS_STATE_ZOMBIE:
		return "zombie"
	case pb.ProcessState_PROCESS_STATE_DEAD:
		return "dead"
	case pb.ProcessState_PROCESS_STATE_IDLE:
		return "idle"
	default:
		return unknown
	}
}

// decimal is a number as a text in the reader's memory.
func (r *Reader) decimal(n uint64) string {
	at := len(r.text)
	r.text = strconv.AppendUint(r.text, n, 10)
	return view(r.text[at:len(r.text):len(r.text)])
}

// labelled keeps labels, which are in order, and leaves out those without a value.
func (r *Reader) labelled(labels ...Label) []Label {
	at := len(r.labels)
	for _, l := range labels {
		if l.Value != "" {
			r.labels = append(r.labels, l)
		}
	}
	return r.labels[at:len(r.labels):len(r.labels)]
}
