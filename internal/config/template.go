package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteMissing writes text to file, private to this user, unless the file
// exists, and makes its folder. It reports whether it wrote. The file appears
// whole or not at all.
func WriteMissing(file string, text []byte) (bool, error) {
	if _, err := os.Lstat(file); err == nil {
		return false, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("write default configuration: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return false, fmt.Errorf("write default configuration: %w", err)
	}
	temp, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return false, fmt.Errorf("write default configuration: %w", err)
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(text)
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return false, fmt.Errorf("write %s: %w", file, err)
	}
	// Link refuses to replace a file that appeared meanwhile; Rename would not.
	if err := os.Link(temp.Name(), file); errors.Is(err, fs.ErrExist) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("write %s: %w", file, err)
	}
	return true, nil
}
