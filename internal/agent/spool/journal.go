package spool

import (
	"fmt"
	"os"
	"path/filepath"
)

// journal is the file of the open batch: each event in a frame that names the number
// which the batch will have. Once the batch is in a segment the journal is emptied;
// what is left of it after a crash is told by that number.
type journal struct {
	f    file
	size int64 // end of the last whole frame
	kept bool  // it holds the events of further batches, while recovery seals one
}

const journalName = "journal"

// openJournal opens or makes the file and returns what is in it.
func (s *Spool) openJournal() (content []byte, err error) {
	name := filepath.Join(s.home(), journalName)
	f, err := s.o.openFile(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	s.journal = &journal{f: f}
	if content, err = readAll(f, name); err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	s.journal.size = int64(len(content))
	return content, nil
}

// empty forgets the events of a batch that is in a segment, or needs none any more.
// Where the file cannot be cut, the next ones go behind it.
func (j *journal) empty() error {
	if j.size == 0 || j.kept {
		return nil
	}
	if err := j.f.Truncate(0); err != nil {
		return fmt.Errorf("empty journal: %w", err)
	}
	j.size = 0
	return nil
}
