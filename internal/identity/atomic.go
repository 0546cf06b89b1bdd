package identity

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Modes of what the package writes.
const (
	keyMode    = 0o600
	certMode   = 0o644
	folderMode = 0o700
)

const (
	tmpMark  = ".tmp-"
	nextMark = ".next"
)

// writeFile puts data under dir/name so that a reader sees the old file, the new
// one or none, also after a power cut.
func writeFile(dir, name string, data []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(dir, "."+name+tmpMark+"*")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(dir, name), err)
	}
	err = errors.Join(tmp.Chmod(mode), writeAll(tmp, data), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", filepath.Join(dir, name), err), removeIfThere(tmp.Name()))
	}
	return syncDir(dir)
}

func writeAll(f *os.File, data []byte) error {
	_, err := f.Write(data)
	return err
}

func removeIfThere(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// syncDir makes renames in dir durable. Systems that cannot sync a folder say so
// with an error that is no fault.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	err = f.Sync()
	if err != nil && !canSyncDirs {
		err = nil
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}

// swapPair replaces NAME.crt and NAME.key together. Two renames cannot be one, so
// both are staged first: between the renames a reader that finds the new key with
// the old certificate takes the staged certificate (see loadPair), and
// finishSwaps completes what a crash cut short.
func swapPair(dir, name string, pair *KeyPair) error {
	if err := writeFile(dir, nextName(name+".crt"), pair.CertPEM, certMode); err != nil {
		return err
	}
	if err := writeFile(dir, name+".key", pair.KeyPEM, keyMode); err != nil {
		return errors.Join(err, removeIfThere(filepath.Join(dir, nextName(name+".crt"))))
	}
	if err := os.Rename(filepath.Join(dir, nextName(name+".crt")), filepath.Join(dir, name+".crt")); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(dir, name+".crt"), err)
	}
	return syncDir(dir)
}

func nextName(file string) string { return "." + file + nextMark }

// finishSwaps completes or undoes replacements that were cut short, and removes
// half-written files. The caller holds the folder's lock.
func finishSwaps(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		file := filepath.Join(dir, name)
		switch {
		case !strings.HasPrefix(name, "."):
		case strings.Contains(name, tmpMark):
			if err := removeIfThere(file); err != nil {
				return err
			}
		case strings.HasSuffix(name, ".crt"+nextMark):
			target := strings.TrimSuffix(name[1:], nextMark)
			if err := finishSwap(dir, file, strings.TrimSuffix(target, ".crt")); err != nil {
				return err
			}
		}
	}
	return nil
}

func finishSwap(dir, staged, name string) error {
	certs, certErr := readCerts(staged)
	key, keyErr := readKey(filepath.Join(dir, name+".key"))
	if certErr != nil || keyErr != nil || !belongs(key, certs[0]) {
		return removeIfThere(staged)
	}
	if err := os.Rename(staged, filepath.Join(dir, name+".crt")); err != nil {
		return err
	}
	return syncDir(dir)
}
