// Package config reads AMOSKYS configuration: strict YAML with every fault
// reported at once and by position, typed overrides from the environment,
// secrets that never print themselves, and the layout of the home folder.
//
// Configuration structs live with the packages that use them. A struct names
// its keys with `yaml:"key"` tags, may flatten an embedded struct with
// `yaml:",inline"`, and may name one extra environment variable with
// `env:"EVENTBUS_HOST"`. Scalars, time.Duration ("30s"), Secret, anything with
// UnmarshalText, slices, maps with text keys and nested structs are understood.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// MaxBytes is the largest configuration text that is read, in bytes.
const MaxBytes = 256 << 10

// DecodeOptions changes how Decode and Load read. The zero value reads the
// process environment and records nothing.
type DecodeOptions struct {
	// Env looks a variable up; nil means os.LookupEnv. Use NoEnv in tests that
	// must not see the environment.
	Env func(name string) (string, bool)
	// Sources, when not nil, receives for every key that was set the place it
	// came from: "FILE:LINE" or "$VARIABLE". Keys left at their default are absent.
	Sources map[string]string
}

// NoEnv is an Env that knows no variable.
func NoEnv(string) (string, bool) { return "", false }

// Decode reads YAML text into the struct that into points to, whose present
// values are the defaults. Keys given in text replace them, then the environment
// does. When *T is a Validator it checks the result. The error is a Faults with
// all faults found, ordered by position; into is then only partly filled and
// must not be used. file only names the text in faults.
func Decode[T any](file string, text []byte, into *T, o DecodeOptions) error {
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	d := newDecoder(file, o)
	d.decode(text, into)
	return d.result()
}

// Load reads a file as Decode does. A file that does not exist leaves the
// defaults, and the environment still applies. A file that cannot be read is
// one Fault.
func Load[T any](file string, into *T, o DecodeOptions) error {
	text, err := readBounded(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Faults{{File: file, Message: err.Error()}}
	}
	return Decode(file, text, into, o)
}

// readBounded reads at most MaxBytes+1 bytes, so that a huge file costs no memory.
func readBounded(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return text, nil
}
