package backups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/amoskys/amoskys/internal/backup"
)

// takeCerts takes certificates, and apart from them the private keys.
func (g *gathering) takeCerts() error {
	dir := resolved(g.e.Home.Certs())
	err := filepath.WalkDir(dir, func(at string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && at == dir {
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, at)
		if err != nil {
			return err
		}
		return g.takeCert(path.Join("certs", filepath.ToSlash(rel)), at, entry)
	})
	if err != nil {
		return fmt.Errorf("read the certificates: %w", err)
	}
	return nil
}

func (g *gathering) takeCert(to, from string, entry fs.DirEntry) error {
	if entry.Type()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		if target == filepath.Base(target) {
			g.sources = append(g.sources, backup.Source{Path: to, Link: target})
			return nil
		} // what is elsewhere becomes a file here
	}
	info, err := os.Stat(from)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Size() > maxSmall {
		return fmt.Errorf("%s has %d bytes: no certificate and no key does; move it out of the folder of certificates", from, info.Size())
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if isKey(to, b) {
		g.keys = append(g.keys, backup.Key{Path: to, Mode: info.Mode().Perm(), Content: b})
		return nil
	}
	g.addBytes(to, info.Mode(), b)
	return nil
}
