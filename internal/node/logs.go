package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// Bounds on what is read of a log.
const (
	defaultTailLines = 200
	maxTailLines     = 2000
	maxTailBytes     = 512 << 10
)

// tail returns the last lines of a log file, at most maxTailBytes of them. A file
// that is not there, because somebody moved it away, has no lines yet.
func tail(file string, lines int) (out []string, err error) {
	if lines <= 0 {
		lines = defaultTailLines
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	start := max(0, info.Size()-maxTailBytes)
	text := make([]byte, info.Size()-start)
	n, err := f.ReadAt(text, start)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read log: %w", err)
	}
	text = text[:n]
	if start > 0 {
		_, text, _ = bytes.Cut(text, []byte{'\n'}) // the first line is cut
	}
	all := strings.Split(strings.TrimRight(strings.ToValidUTF8(string(text), "·"), "\n"), "\n")
	if len(all) == 1 && all[0] == "" {
		return nil, nil
	}
	return all[max(0, len(all)-min(lines, maxTailLines)):], nil
}
