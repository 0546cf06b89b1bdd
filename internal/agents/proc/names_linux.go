package proc

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"time"
)

// names maps ids to names by a file in the form of passwd(5) or group(5), read
// again when it changed. Directories such as LDAP are not asked: a slow answer
// would stop the readings.
type names struct {
	file    string
	checked time.Time
	changed time.Time
	byID    map[string]string
}

// namesAge is how long a file is taken to be unchanged.
const namesAge = time.Minute

func (n *names) name(id string) string {
	if now := time.Now(); now.Sub(n.checked) > namesAge {
		n.checked = now
		if info, err := os.Stat(n.file); err == nil && !info.ModTime().Equal(n.changed) {
			n.changed = info.ModTime()
			n.load()
		}
	}
	return n.byID[id]
}

func (n *names) load() {
	text, err := os.ReadFile(n.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return // keep what was known
	}
	n.byID = map[string]string{}
	for line := range bytes.Lines(text) {
		fields := bytes.SplitN(line, []byte(":"), 4)
		if len(fields) == 4 {
			id := string(fields[2])
			if _, known := n.byID[id]; !known {
				n.byID[id] = cleanName(fields[0])
			}
		}
	}
}
