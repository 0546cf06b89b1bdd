package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// redacted stands for every secret that is printed.
const redacted = "[redacted]"

// Secret is a password, key or token from the configuration. It is the text
// itself, or a reference: "file:PATH" or "env:NAME". Printing, logging and
// marshalling it give "[redacted]" ("" when empty); only Reveal gives the value.
// Keep secrets in exported fields: fmt cannot call methods on unexported ones.
type Secret string

// Reveal returns the secret. A "file:" reference is read at each call, relative
// to the working folder, without the final line break; "env:" reads the process
// environment. Errors name the reference, never a value.
func (s Secret) Reveal() (string, error) { return s.reveal(func(p string) string { return p }) }

// RevealIn is Reveal with relative "file:" references resolved against home.
func (s Secret) RevealIn(home Home) (string, error) { return s.reveal(home.Path) }

func (s Secret) reveal(resolve func(string) string) (string, error) {
	if path, ok := strings.CutPrefix(string(s), "file:"); ok {
		text, err := readBounded(resolve(path))
		if err != nil {
			return "", fmt.Errorf("read secret: %w", err)
		}
		return strings.TrimRight(string(text), "\r\n"), nil
	}
	if name, ok := strings.CutPrefix(string(s), "env:"); ok {
		value, set := os.LookupEnv(name)
		if !set {
			return "", errors.New("read secret: environment variable " + name + " is not set")
		}
		return value, nil
	}
	return string(s), nil
}

// String returns "[redacted]", or "" for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format keeps every fmt verb, %d and %#v included, from showing the value.
func (s Secret) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.String()) }

// LogValue redacts the secret in slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText redacts the secret in JSON, YAML and XML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML redacts the secret in YAML.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }
