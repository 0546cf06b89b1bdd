package bundle

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/amoskys/amoskys/internal/config"
)

const (
	// maxConfigFile is how much of a file of configuration is read, bytes.
	maxConfigFile = 1 << 20
	// maxConfigFiles is how many files of a folder of configuration are read.
	maxConfigFiles = 1000
)

// secretKey is a key of YAML that names a secret, quotedValue a text in quotes.
var (
	secretKey   = regexp.MustCompile(`(?i)(?:community|communities|password|passphrase|secret|token)["']?[ \t]*:(?:[ \t]+|$)`)
	quotedValue = regexp.MustCompile(`"[^"]*"|'[^']*'`)
)

// AddConfig adds the secrets of all files of YAML below a folder, by the names of their
// keys: those of files that cannot be read as settings, and of what does not run now, may
// stand in logs too.
func (r *Redactor) AddConfig(dir string, home config.Home) {
	root, err := os.OpenRoot(dir) // where packages have a link, what it leads to
	if err != nil {
		return
	}
	defer func() { _ = root.Close() }() // It was only read.
	files := 0
	_ = fs.WalkDir(root.FS(), ".", func(file string, e fs.DirEntry, err error) error { // What cannot be read is passed over.
		if err != nil || !e.Type().IsRegular() || !strings.HasPrefix(filepath.Ext(file), ".y") {
			return nil
		}
		if files++; files > maxConfigFiles {
			return fs.SkipAll
		}
		f, err := root.Open(file)
		if err != nil {
			return nil
		}
		text, _ := io.ReadAll(io.LimitReader(f, maxConfigFile))
		_ = f.Close() // It was only read.
		r.addLines(string(text), home)
		return nil
	})
}

// addLines takes the secrets of a file line by line, as the file may be no YAML.
func (r *Redactor) addLines(text string, home config.Home) {
	listed := false // the lines before are a key of secrets, and some of its list
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		found := secretKey.FindAllStringIndex(line, -1)
		if item, is := strings.CutPrefix(line, "-"); is && listed && found == nil {
			r.addValue(uncommented(item), home)
			continue
		}
		listed = false
		for _, key := range found {
			said := uncommented(line[key[1]:])
			listed = said == ""
			r.addValue(said, home)
			if strings.ContainsAny(line, "[{") {
				r.addList(said, home)
			}
		}
	}
}

// addList takes what a list or a map in one line may have: what is quoted, and what stands
// between commas.
func (r *Redactor) addList(text string, home config.Home) {
	for _, value := range quotedValue.FindAllString(text, -1) {
		r.addValue(value, home)
	}
	for value := range strings.FieldsFuncSeq(text, func(c rune) bool { return strings.ContainsRune("[]{},", c) }) {
		if !strings.Contains(value, ": ") { // that is the next key
			r.addValue(value, home)
		}
	}
}

// uncommented is a value of YAML without the comment behind it.
func uncommented(s string) string {
	s = strings.TrimSpace(s)
	if s == "" || s[0] == '#' {
		return ""
	}
	if s[0] == '"' || s[0] == '\'' {
		if end := strings.LastIndexByte(s, s[0]); end > 0 {
			return s[:end+1]
		}
	}
	s, _, _ = strings.Cut(s, " #")
	return strings.TrimSpace(s)
}

// addValue takes one value, and what it refers to.
func (r *Redactor) addValue(s string, home config.Home) {
	s = strings.TrimSpace(s)
	if len(s) > 1 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		s = s[1 : len(s)-1]
	}
	if strings.HasPrefix(s, "file:") || strings.HasPrefix(s, "env:") {
		value, err := config.Secret(s).RevealIn(home)
		if err != nil {
			return
		}
		s = value
	}
	switch s {
	case "", "[]", "{}", "~", "null", "true", "false", "|", ">":
		return
	}
	r.Add(s)
}
