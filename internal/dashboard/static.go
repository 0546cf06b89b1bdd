package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"
)

// static serves the UI from memory.
type static struct {
	files map[string]*file
	index *file
	// policy is the Content-Security-Policy that the UI needs and no more.
	policy string
	// script is the address of the one that the page starts with. Its name tells one
	// build from another.
	script string
	// assets hold the documents below docs/, which are read piece by piece for whoever asks;
	// documents are those, without their content.
	assets    fs.FS
	documents map[string]*file
}

// file is one file in its forms.
type file struct {
	plain, zipped []byte // both nil for documents
	hasZipped     bool   // where it pays
	contentType   string
	etag          string
	// immutable files have a name that changes with their content.
	immutable bool
}

// newStatic reads all files. Those with ".gz" beside them are served compressed.
func newStatic(assets fs.FS, index []byte) (*static, error) {
	s := &static{files: map[string]*file{}, assets: assets, documents: map[string]*file{}}
	err := fs.WalkDir(assets, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path.Base(name), ".") || strings.HasSuffix(name, ".gz") {
			return err
		}
		f, err := readAsset(assets, name)
		if err != nil {
			return err
		}
		if strings.HasPrefix(name, documents+"/") {
			f.plain, f.zipped = nil, nil
			s.documents["/"+name] = f
			return nil
		}
		s.files["/"+name] = f
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read files of the UI: %w", err)
	}
	if index == nil {
		if index, err = fs.ReadFile(assets, "index.html"); err != nil {
			return nil, fmt.Errorf("read page of the UI: %w", err)
		}
	}
	delete(s.files, "/index.html")
	s.index = newFile("index.html", index)
	if s.index.zipped, err = zip(index); err != nil {
		return nil, err
	}
	s.index.hasZipped = true
	s.policy = policyFor(index)
	if m := scriptOf.FindSubmatch(index); m != nil {
		s.script = string(m[1])
	}
	return s, nil
}

// documents is the folder of the documents' pages, which are no part of the UI.
const documents = "docs"

// readAsset reads a file, and its packed form if that is beside it.
func readAsset(assets fs.FS, name string) (*file, error) {
	plain, err := fs.ReadFile(assets, name)
	if err != nil {
		return nil, fmt.Errorf("read file of the UI: %w", err)
	}
	f := newFile(name, plain)
	if zipped, err := fs.ReadFile(assets, name+".gz"); err == nil {
		f.zipped, f.hasZipped = zipped, true
	}
	return f, nil
}

// contentTypeOf tells a file's type by its name, not by what this machine's tables say.
func contentTypeOf(name string) string {
	contentType := mime.TypeByExtension(path.Ext(name))
	switch path.Ext(name) {
	case ".js", ".mjs":
		contentType = "text/javascript; charset=utf-8"
	case ".woff2":
		contentType = "font/woff2"
	case ".webp":
		contentType = "image/webp"
	case ".webmanifest":
		contentType = "application/manifest+json"
	case ".html":
		contentType = "text/html; charset=utf-8"
	case ".css":
		contentType = "text/css; charset=utf-8"
	case ".json", ".map":
		contentType = "application/json"
	}
	if contentType == "" {
		return "application/octet-stream"
	}
	return contentType
}

func newFile(name string, plain []byte) *file {
	sum := sha256.Sum256(plain)
	return &file{
		plain: plain, contentType: contentTypeOf(name), etag: base64.RawURLEncoding.EncodeToString(sum[:16]),
		immutable: strings.HasPrefix(name, "assets/"),
	}
}

func zip(plain []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("compress page: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress page: %w", err)
	}
	return b.Bytes(), nil
}

// scriptOf finds what the page starts with.
var scriptOf = regexp.MustCompile(`(?i)<script type="module"[^>]* src="(/assets/[^"]+)"`)

// inline finds scripts and styles written into the page itself.
const inline = `(?is)<(script|style)\b([^>]*)>(.*?)</(?:script|style)>`

// policyFor allows our own files, and what the page holds inline by its hash.
// Style attributes are allowed, as charts and tables place things by them; they
// cannot run anything.
func policyFor(index []byte) string {
	hashes := map[string]string{}
	for _, m := range regexp.MustCompile(inline).FindAllSubmatch(index, -1) {
		kind := strings.ToLower(string(m[1]))
		if kind == "script" && bytes.Contains(bytes.ToLower(m[2]), []byte("src=")) {
			continue
		}
		sum := sha256.Sum256(m[3])
		hashes[kind] += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; script-src 'self'" + hashes["script"] + "; style-src 'self'" + hashes["style"] +
		"; style-src-attr 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'" +
		"; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}

// ServeHTTP serves a file, or the page for each address of the UI.
func (s *static) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		problem(http.StatusMethodNotAllowed, "only GET is answered here").write(w)
		return
	}
	switch name := path.Clean(r.URL.Path); {
	case name == "/":
		http.Redirect(w, r, "/dashboard", http.StatusFound)
	case name == "/dashboard", name == "/login", strings.HasPrefix(name, "/dashboard/"):
		s.index.serve(w, r)
	case name == "/"+documents || strings.HasPrefix(name, "/"+documents+"/"):
		s.serveDocument(w, r, name)
	case s.files[name] != nil:
		s.files[name].serve(w, r)
	default:
		http.NotFound(w, r)
	}
}

// serveDocument serves a page of the documents. Whoever asks for the folder is led to its
// first page, since links of a page are relative to it.
func (s *static) serveDocument(w http.ResponseWriter, r *http.Request, name string) {
	if name == "/"+documents {
		http.Redirect(w, r, "/"+documents+"/quickstart.html", http.StatusFound)
		return
	}
	page := s.documents[name]
	if page == nil {
		http.NotFound(w, r)
		return
	}
	if page.head(w, r) {
		name += ".gz"
	}
	f, err := s.assets.Open(name[1:])
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer func() { _ = f.Close() }() // it was only read
	content, seeks := f.(io.ReadSeeker)
	if !seeks {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, content)
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	content := f.plain
	if f.head(w, r) {
		content = f.zipped
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// head writes the headers of a file, and reports whether its packed form is to follow.
func (f *file) head(w http.ResponseWriter, r *http.Request) (packed bool) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	if f.immutable {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache") // ask each time, by ETag
	}
	etag := f.etag
	if f.hasZipped {
		h.Set("Vary", "Accept-Encoding")
		if packed = acceptsGzip(r.Header.Get("Accept-Encoding")); packed {
			h.Set("Content-Encoding", "gzip")
			etag += "-gz"
		}
	}
	h.Set("ETag", `"`+etag+`"`)
	return packed
}

// acceptsGzip reads Accept-Encoding (RFC 9110 section 12.5.3).
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name = strings.TrimSpace(name); name == "gzip" || name == "*" {
			q := strings.ReplaceAll(params, " ", "")
			return q != "q=0" && q != "q=0.0" && q != "q=0.00" && q != "q=0.000"
		}
	}
	return false
}
