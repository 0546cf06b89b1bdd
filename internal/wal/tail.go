package wal

// sectorBytes is the unit that disks write atomically.
const sectorBytes = 512

// badPlace describes a bad record and what lies behind it. It decides the
// question that recovery and Verify share: was the record never finished (a
// crash tore it, nobody was told of it, and dropping it is right), or was it
// whole once and has been damaged since?
type badPlace struct {
	pos      int64  // of the bad record
	resumeAt int64  // where the next believable record starts, -1 without one
	resume   header // its header
	used     int64  // position behind the last byte that is not zero
	torn     bool
}

// inspect looks at the bad record that s met, without moving s. durable says
// that it is known from elsewhere that the record was durable once.
//
// A record counts as torn when none of the records behind it was written at a
// time when this one was already durable (each says how far the segment was
// durable then), and when a part of it is missing: it runs behind the end of
// the file, only zeros follow somewhere before its end (whose last byte is
// never zero), or one of the sectors it lies in holds nothing but the zeros of
// reserved space.
func inspect(s *scanner, r *scanned, durable bool) (badPlace, error) {
	look := scanner{file: s.file, salt: s.salt, first: s.first, limit: s.limit, pos: r.pos}
	p := badPlace{pos: r.pos, resumeAt: -1}
	var err error
	if p.used, err = look.lastNonZero(r.pos); err != nil {
		return p, err
	}
	if p.torn, err = look.unfinished(r, p.used); err != nil {
		return p, err
	}
	from := r.pos + recordAlign
	if r.headerOK {
		from = min(r.pos+r.header.size(), s.limit)
	}
	for {
		more, err := look.resync(from)
		if err != nil || !more {
			break
		}
		b, err := look.window(look.pos, recordHeaderBytes)
		if err != nil {
			return p, err
		}
		var h header
		if len(b) < recordHeaderBytes || s.parse(&h, b, look.pos) != "" {
			break
		}
		if p.resumeAt < 0 {
			p.resumeAt, p.resume = look.pos, h
		}
		if h.synced > uint64(r.pos) {
			durable = true
			break
		}
		from = min(look.pos+h.size(), s.limit)
	}
	p.torn = p.torn && !durable
	return p, nil
}

// unfinished reports whether a part of the bad record is missing.
func (s *scanner) unfinished(r *scanned, used int64) (bool, error) {
	size := int64(recordHeaderBytes)
	if r.headerOK {
		size = r.header.size()
	}
	if r.pos+size > s.limit || used < r.pos+size {
		return true, nil
	}
	b, err := s.window(r.pos, size)
	if err != nil {
		return false, err
	}
	for at := int64(0); at < size; {
		end := min(size, at+sectorBytes-(r.pos+at)%sectorBytes)
		if allZero(b[at:end]) {
			return true, nil
		}
		at = end
	}
	return false, nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
