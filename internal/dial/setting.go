package dial

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"

	"github.com/amoskys/amoskys/internal/config"
)

// Proxy is the setting hub.proxy: empty for what the environment says, "none", a
// URL such as http://user:password@proxy:3128, or a reference "file:PATH" or
// "env:NAME" to one. Printing, logging and marshalling it leave the user and the
// password out.
type Proxy string

// none is the setting that goes around every proxy.
const none = "none"

// errProxyURL never quotes what was given: it may hold a password.
var errProxyURL = errors.New("must be none, or a URL such as http://HOST:PORT or https://USER:PASSWORD@HOST:PORT")

// parse returns the proxy, nil for none. p is not empty.
func (p Proxy) parse(home config.Home) (*url.URL, error) {
	text, err := config.Secret(p).RevealIn(home)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if text == none {
		return nil, nil //nolint:nilnil // no proxy is an answer
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
		return nil, errProxyURL
	}
	return u, nil
}

func (p Proxy) isReference() bool {
	return strings.HasPrefix(string(p), "file:") || strings.HasPrefix(string(p), "env:")
}

// validate says what is wrong with the setting; a reference is followed only when
// it is used.
func (p Proxy) validate(v *config.Check, key string) {
	if p == "" || p.isReference() {
		return
	}
	if _, err := p.parse(""); err != nil {
		v.Add(key, "%s", err.Error())
	}
}

// String is the setting without user and password.
func (p Proxy) String() string {
	if p == "" || p == none || p.isReference() {
		return string(p)
	}
	u, err := p.parse("")
	if err != nil {
		return config.Secret(p).String()
	}
	return redact(u)
}

// Format keeps every fmt verb from showing the password.
func (p Proxy) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, p.String()) }

// LogValue redacts the setting in slog.
func (p Proxy) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText redacts the setting in JSON, YAML and XML.
func (p Proxy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// redact is a proxy's URL without user and password.
func redact(u *url.URL) string { return u.Scheme + "://" + u.Host }
