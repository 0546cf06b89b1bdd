package bundle

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/mask"
)

// Mark stands for what was taken out.
const Mark = "[redacted]"

const (
	// leastSecret is how long a text must be to be taken out wherever it stands, bytes; a
	// shorter one only where it stands alone.
	leastSecret = 6
	// maxKeyFile is how much of a file with a key is read, bytes.
	maxKeyFile = 1 << 20
)

// Redactor takes the secrets of a home out of texts: those that its configuration, its
// keys and its environment have, and what looks like one.
type Redactor struct {
	secrets [][]byte // the longest first
	alone   []*regexp.Regexp
	masker  *mask.Masker
}

// NewRedactor knows no secret yet but by their looks.
func NewRedactor() (*Redactor, error) {
	m, err := mask.New(mask.Rules{})
	if err != nil {
		return nil, err
	}
	return &Redactor{masker: m}, nil
}

// Add takes a secret, in each of the ways in which it may be written.
func (r *Redactor) Add(secret string) {
	secret = strings.TrimSpace(secret)
	if secret == "" || secret == Mark {
		return
	}
	forms := []string{secret, url.QueryEscape(secret), url.PathEscape(secret)}
	if quoted, err := json.Marshal(secret); err == nil {
		forms = append(forms, string(quoted[1:len(quoted)-1]))
	}
	if len(secret) >= leastSecret {
		forms = append(forms, base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)))
	}
	for _, form := range forms {
		if len(form) < leastSecret {
			r.alone = append(r.alone, regexp.MustCompile(`(^|[^\pL\pN_])(`+regexp.QuoteMeta(form)+`)($|[^\pL\pN_])`))
			continue
		}
		if !slices.ContainsFunc(r.secrets, func(b []byte) bool { return string(b) == form }) {
			r.secrets = append(r.secrets, []byte(form))
		}
	}
	slices.SortStableFunc(r.secrets, func(a, b []byte) int { return len(b) - len(a) })
}

// AddSettings adds the secrets of a configuration, a struct or a pointer to one, and
// what they refer to below a home.
func (r *Redactor) AddSettings(settings any, home config.Home) {
	r.walk(reflect.ValueOf(settings), home, 0)
}

// walk looks for texts that say less of themselves than they are: config.Secret and
// those made like it.
func (r *Redactor) walk(v reflect.Value, home config.Home, depth int) {
	if depth > 20 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			r.walk(v.Elem(), home, depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				r.walk(v.Field(i), home, depth+1)
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			r.walk(v.Index(i), home, depth+1)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			r.walk(v.MapIndex(key), home, depth+1)
		}
	case reflect.String:
		r.text(v, home)
	default:
	}
}

func (r *Redactor) text(v reflect.Value, home config.Home) {
	said, is := reflect.TypeAssert[fmt.Stringer](v)
	raw := v.String()
	if !is || raw == "" {
		return
	}
	reference := strings.HasPrefix(raw, "file:") || strings.HasPrefix(raw, "env:")
	if said.String() == raw && !reference {
		return
	}
	if reference {
		value, err := config.Secret(raw).RevealIn(home)
		if err != nil {
			return
		}
		raw = value
	}
	r.Add(raw)
	if u, err := url.Parse(raw); err == nil && u.User != nil {
		r.Add(u.User.Username())
		if password, has := u.User.Password(); has {
			r.Add(password)
		}
	}
}

// AddKeys adds the keys in a folder: each line of a PEM file, as parts of keys are
// secrets too.
func (r *Redactor) AddKeys(dir string) {
	names, _ := filepath.Glob(filepath.Join(dir, "*.key")) // The pattern is sound.
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxKeyFile {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			continue // Who cannot read it has not put it anywhere.
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") {
				r.Add(line)
			}
		}
	}
}

// secretName is the name of a variable that holds a secret.
var secretName = regexp.MustCompile(`(?i)PASS|SECRET|TOKEN|COMMUNITY|KEY$|_URL$|PROXY`)

// AddEnvironment adds the values of variables that hold secrets by their names.
func (r *Redactor) AddEnvironment(pairs []string) {
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		if !secretName.MatchString(name) {
			continue
		}
		if u, err := url.Parse(value); err == nil && u.Host != "" {
			if password, has := u.User.Password(); has {
				r.Add(password)
			}
			continue
		}
		r.Add(value)
	}
}

// What is a secret by its looks, whoever has it.
var (
	privateKey = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)`)
	userOfURL  = regexp.MustCompile(`(://)[^/\s:@"']*:[^/\s@"']*@`)
	token      = regexp.MustCompile(`\bamk1_[A-Za-z0-9_-]{20,}`)
)

// Bytes returns a text without secrets.
func (r *Redactor) Bytes(b []byte) []byte {
	b = privateKey.ReplaceAll(b, []byte(Mark))
	b = userOfURL.ReplaceAll(b, []byte("${1}"+Mark+"@"))
	b = token.ReplaceAll(b, []byte(Mark))
	b = r.known(b)
	var out bytes.Buffer
	for line := range bytes.Lines(b) {
		out.WriteString(r.masker.Text(string(line)))
	}
	return r.known(out.Bytes())
}

func (r *Redactor) known(b []byte) []byte {
	for _, s := range r.secrets {
		if !bytes.Contains([]byte(Mark), s) {
			b = bytes.ReplaceAll(b, s, []byte(Mark))
			continue
		}
		// What stands in the place of others has this one's letters.
		parts := bytes.Split(b, []byte(Mark))
		for i := range parts {
			parts[i] = bytes.ReplaceAll(parts[i], s, []byte(Mark))
		}
		b = bytes.Join(parts, []byte(Mark))
	}
	for _, s := range r.alone {
		for s.Match(b) { // Two that stand side by side share what is between.
			b = s.ReplaceAll(b, []byte("${1}"+Mark+"${3}"))
		}
	}
	return b
}

// holds says whether a text still has a secret that is known. What stands in its place is
// none, even if somebody's secret is that word.
func (r *Redactor) holds(b []byte) bool {
	b = bytes.ReplaceAll(b, []byte(Mark), []byte{0})
	return slices.ContainsFunc(r.secrets, func(s []byte) bool { return bytes.Contains(b, s) })
}
