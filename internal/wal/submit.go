package wal

import (
	"fmt"
	"hash/crc32"
)

// request is something for the writer to do: append a record, answer a
// barrier, or run a control function.
type request struct {
	header    header // length, received, sequence, producer, count, bodyCRC, kind, publisher, codec
	publisher string
	payload   [][]byte
	size      int64 // bytes on disk, 0 for anything but a record
	done      func(Offset, error)

	barrier func(error)
	control func()

	hash *hasher // reused; its output is the record's digest
	name []byte  // reused copy of publisher
}

func (r *request) reset() {
	hash, name := r.hash, r.name
	*r = request{hash: hash, name: name[:0]}
}

// Submit queues a record. The batch is hashed on the caller's goroutine, so
// callers scale. Records are written in the order in which Submit returns. The
// log calls done exactly once, from its own goroutine, when the record is
// durable (with the offset of its first event) or has failed; done must not
// block, and the buffers of r are the caller's again from then on. When Submit
// returns an error (ErrBusy, ErrClosed, ErrInvalid), done is not called.
//
// A record that failed is not in the log, with one exception that only a
// broken disk can cause: when what was written could not be taken back either
// and the program ends before the disk works again, the next Open finds it.
// Replay shows it then, as it does for a record whose acknowledgement got
// lost, so that duplicates are known by ProducerID and Sequence.
func (l *Log) Submit(r *Record, done func(first Offset, err error)) error {
	if err := r.Check(); err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	length := recordHeaderBytes + len(r.Publisher)
	for _, p := range r.Payload {
		length += len(p)
	}
	if length > MaxRecordBytes {
		return fmt.Errorf("submit a record of %d bytes: %w", length, ErrInvalid)
	}
	req, _ := l.reqs.Get().(*request)
	if req == nil {
		req = &request{hash: newHasher()}
	}
	req.header = header{
		length: uint32(length), received: r.Received.UnixNano(), sequence: r.Sequence, producer: r.ProducerID,
		count: uint32(r.Count), kind: KindEvents, publisher: uint8(len(r.Publisher)), codec: r.Codec,
	}
	req.publisher, req.payload, req.done = r.Publisher, r.Payload, done
	req.size = req.header.size()

	// The bulk of the work, before any lock.
	req.seal()
	if err := l.enqueue(req); err != nil {
		l.recycle(req)
		return err
	}
	return nil
}

// seal computes the digest and the body checksum.
func (r *request) seal() {
	r.name = append(r.name[:0], r.publisher...)
	r.hash.digest(&r.header, r.name, r.payload...)
	crc := crc32.Update(0, castagnoli(), r.name)
	for _, p := range r.payload {
		crc = crc32.Update(crc, castagnoli(), p)
	}
	r.header.bodyCRC = crc
}

// Barrier queues done to be called, from the log's goroutine, once everything
// submitted before is durable or has failed. The error is that of the group
// the barrier fell into; earlier failures were reported to their callers.
func (l *Log) Barrier(done func(error)) error {
	return l.enqueue(&request{barrier: done})
}

func (l *Log) enqueue(req *request) error {
	l.mu.Lock()
	switch {
	case l.closing:
		l.mu.Unlock()
		return ErrClosed
	case req.size > 0 && l.pending > 0 && l.pending+req.size > l.opts.QueueBytes:
		l.mu.Unlock()
		return ErrBusy
	}
	l.pending += req.size
	l.queue = append(l.queue, req)
	l.queued += req.size
	wake := !l.awake && l.queued >= l.wakeAt
	l.awake = l.awake || wake
	l.mu.Unlock()
	if wake {
		select {
		case l.signal <- struct{}{}:
		default: // the writer has been told already
		}
	}
	return nil
}

// recycle keeps a record's request for reuse.
func (l *Log) recycle(req *request) {
	if req.hash != nil {
		req.reset()
		l.reqs.Put(req)
	}
}
