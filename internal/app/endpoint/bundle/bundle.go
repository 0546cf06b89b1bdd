// Package bundle writes an archive for whoever is to help: what the doctor found, what
// runs, settings and logs, without secrets.
//
// A gzipped tar, for its owner alone. All that goes in passes a Redactor, and what has a
// secret all the same is left out. Neither keys nor events nor accounts are read.
package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

const (
	// maxLog is how much of each log goes in, its end, bytes; maxLogs is that of all.
	maxLog  = 512 << 10
	maxLogs = 16 << 20
	// maxListed is how many files of a home are listed.
	maxListed = 5000
)

// Writer makes one archive. Close it, or Abandon it.
type Writer struct {
	redactor *Redactor
	file     *os.File
	to       string
	gzip     *gzip.Writer
	tar      *tar.Writer
	now      time.Time
	logs     int64 // bytes so far
	// Left are the names of what was left out, and why.
	Left []string
}

// Create begins an archive that will lie at a path; until Close it lies beside it. Its
// files have the time now.
func Create(to string, r *Redactor, now time.Time) (*Writer, error) {
	f, err := os.CreateTemp(filepath.Dir(to), ".bundle-*") // 0600
	if err != nil {
		return nil, fmt.Errorf("write the archive: %w", err)
	}
	w := &Writer{redactor: r, file: f, to: to, now: now, gzip: gzip.NewWriter(f)}
	w.tar = tar.NewWriter(w.gzip)
	return w, nil
}

// Add puts a text in, without secrets.
func (w *Writer) Add(name string, text []byte) error {
	text = w.redactor.Bytes(text)
	if w.redactor.holds(text) || w.redactor.holds([]byte(name)) {
		w.Left = append(w.Left, "a file that could not be cleaned of secrets")
		return nil
	}
	h := &tar.Header{Name: path.Join("amoskys-bundle", name), Mode: 0o600, Size: int64(len(text)), ModTime: w.now, Typeflag: tar.TypeReg}
	if err := w.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	if _, err := w.tar.Write(text); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	return nil
}

// AddJSON puts in a value.
func (w *Writer) AddJSON(name string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return w.Add(name, append(text, '\n'))
}

// AddLogs puts in the end of each file *.log below a folder.
func (w *Writer) AddLogs(dir string) error {
	return filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || filepath.Ext(file) != ".log" {
			return w.unreadable(file, err)
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		if w.logs >= maxLogs {
			w.Left = append(w.Left, fmt.Sprintf("logs/%s: there are %d MiB of logs already", name, maxLogs>>20))
			return nil
		}
		text, err := tail(file, maxLog)
		if err != nil {
			return w.unreadable(file, err)
		}
		w.logs += int64(len(text))
		return w.Add("logs/"+filepath.ToSlash(name), text)
	})
}

// unreadable notes what cannot be read; a folder that is not there is none.
func (w *Writer) unreadable(file string, err error) error {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.Left = append(w.Left, filepath.Base(file)+": "+err.Error())
	}
	return nil
}

// tail is the end of a file, from the beginning of a line.
func tail(file string, most int64) (text []byte, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	cut := info.Size() > most
	if cut {
		if _, err := f.Seek(-most, io.SeekEnd); err != nil {
			return nil, err
		}
	}
	text, err = io.ReadAll(io.LimitReader(f, most))
	if at := bytes.IndexByte(text, '\n'); cut && at >= 0 {
		text = text[at+1:]
	}
	return text, err
}

// listed is one file of a home, by what is known without reading it.
type listed struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
	Mode  string `json:"mode"`
	Time  string `json:"time"`
}

// AddListing puts in which files a folder has, without their content.
func (w *Writer) AddListing(name, dir string) error {
	var files []listed
	total := 0
	err := filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return w.unreadable(file, err)
		}
		info, err := e.Info()
		if err != nil {
			return nil //nolint:nilerr // it is gone by now
		}
		if total++; len(files) < maxListed {
			rel, _ := filepath.Rel(dir, file)
			files = append(files, listed{filepath.ToSlash(rel), info.Size(), info.Mode().String(), info.ModTime().UTC().Format(time.RFC3339)})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	return w.AddJSON(name, map[string]any{"folder": dir, "files": files, "files_total": total})
}

// Close writes the archive to its place, and returns its size in bytes.
func (w *Writer) Close() (int64, error) {
	err := errors.Join(w.tar.Close(), w.gzip.Close(), w.file.Sync())
	info, statErr := w.file.Stat()
	err = errors.Join(err, statErr, w.file.Close())
	if err == nil {
		err = os.Rename(w.file.Name(), w.to)
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("write the archive: %w", err), os.Remove(w.file.Name()))
	}
	return info.Size(), nil
}

// Abandon removes what was written.
func (w *Writer) Abandon() {
	_ = w.file.Close() // It is removed.
	_ = os.Remove(w.file.Name())
}
