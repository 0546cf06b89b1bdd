// Package bundle writes an archive for whoever is to help: what the doctor found, what
// runs, settings and logs, without secrets.
//
// A gzipped tar, for its owner alone. All that goes in passes a Redactor, names of files
// too, and what has a secret all the same is left out. The last file, left-out.txt, names
// all that is missing, and why. Neither keys nor events nor accounts are read.
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
	"strconv"
	"strings"
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
	names    map[string]bool
	left     []string
}

// LeftOutFile is the file of an archive that names what is not in it, or not whole.
const LeftOutFile = "left-out.txt"

// Create begins an archive that will lie at a path; until Close it lies beside it. Its
// files have the time now.
func Create(to string, r *Redactor, now time.Time) (*Writer, error) {
	f, err := os.CreateTemp(filepath.Dir(to), ".bundle-*") // 0600
	if err != nil {
		return nil, fmt.Errorf("write the archive: %w", err)
	}
	w := &Writer{redactor: r, file: f, to: to, now: now, gzip: gzip.NewWriter(f), names: map[string]bool{}}
	w.tar = tar.NewWriter(w.gzip)
	return w, nil
}

// Leave notes that something is not in the archive, or not whole: its name, and why.
func (w *Writer) Leave(name, why string) {
	what := string(w.redactor.Bytes([]byte(name + ": " + why)))
	if w.redactor.holds([]byte(what)) {
		what = "a file whose name could not be cleaned of secrets"
	}
	w.left = append(w.left, strings.TrimSpace(what))
}

// Left are what Leave noted: the same as in LeftOutFile.
func (w *Writer) Left() []string { return w.left }

// Add puts a text in, without secrets. A name that has a secret is cleaned as the text is:
// a word that is somebody's password may be that of an agent of ours.
func (w *Writer) Add(name string, text []byte) error {
	text = w.redactor.Bytes(text)
	name = string(w.redactor.known([]byte(name)))
	if w.redactor.holds(text) || w.redactor.holds([]byte(name)) {
		w.Leave(name, "it could not be cleaned of secrets")
		return nil
	}
	h := &tar.Header{Name: path.Join("amoskys-bundle", w.own(name)), Mode: 0o600, Size: int64(len(text)), ModTime: w.now, Typeflag: tar.TypeReg}
	if err := w.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	if _, err := w.tar.Write(text); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	return nil
}

// own is a name that no file of the archive has yet: two may be one without their secrets.
func (w *Writer) own(name string) string {
	ext := path.Ext(name)
	got := name
	for n := 2; w.names[got]; n++ {
		got = strings.TrimSuffix(name, ext) + "-" + strconv.Itoa(n) + ext
	}
	w.names[got] = true
	return got
}

// AddJSON puts in a value.
func (w *Writer) AddJSON(name string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return w.Add(name, append(text, '\n'))
}

// AddLogs puts in the end of each file *.log below a folder, which may be a link.
func (w *Writer) AddLogs(dir string) error {
	if to, err := filepath.EvalSymlinks(dir); err == nil { // as in an image, where it leads to a volume
		dir = to
	}
	return filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
		name := "logs/" + below(dir, file)
		if err != nil {
			w.unreadable(name, err)
			return nil
		}
		if filepath.Ext(file) != ".log" || e.IsDir() {
			return nil // older ones are listed, as all files are
		}
		if !e.Type().IsRegular() {
			w.Leave(name, "it is a link, or no file at all")
			return nil
		}
		if w.logs >= maxLogs {
			w.Leave(name, fmt.Sprintf("there are %d MiB of logs already", maxLogs>>20))
			return nil
		}
		text, err := tail(file, maxLog)
		if err != nil {
			w.unreadable(name, err)
			return nil
		}
		w.logs += int64(len(text))
		return w.Add(name, text)
	})
}

// below is a path as it is named below a folder.
func below(dir, file string) string {
	rel, err := filepath.Rel(dir, file)
	if err != nil {
		rel = filepath.Base(file)
	}
	return filepath.ToSlash(rel)
}

// unreadable notes what cannot be read; a folder that is not there is none.
func (w *Writer) unreadable(name string, err error) {
	if !errors.Is(err, fs.ErrNotExist) {
		w.Leave(name, err.Error())
	}
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
			w.unreadable("the list of "+below(dir, file), err)
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return nil //nolint:nilerr // it is gone by now
		}
		if total++; len(files) < maxListed {
			files = append(files, listed{below(dir, file), info.Size(), info.Mode().String(), info.ModTime().UTC().Format(time.RFC3339)})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	if total > len(files) {
		w.Leave(name, fmt.Sprintf("of %d files %d are listed", total, len(files)))
	}
	return w.AddJSON(name, map[string]any{"folder": dir, "files": files, "files_total": total})
}

// Close tells what was left out, writes the archive to its place, and returns its size in
// bytes.
func (w *Writer) Close() (int64, error) {
	text := "Nothing was left out.\n"
	if len(w.left) > 0 {
		text = strings.Join(w.left, "\n") + "\n"
	}
	err := errors.Join(w.Add(LeftOutFile, []byte(text)), w.tar.Close(), w.gzip.Close(), w.file.Sync())
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
