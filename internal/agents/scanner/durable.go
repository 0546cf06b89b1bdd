package scanner

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/amoskys/amoskys/internal/inventory"
	"github.com/amoskys/amoskys/internal/obs"
)

// bookFile is where the inventory is kept.
func (a *Agent) bookFile() string { return filepath.Join(a.o.DataDir, "devices.book") }

// openBook reads the inventory. One that is damaged is put aside, and a new one begun.
func (a *Agent) openBook() (*inventory.Book, error) {
	f, err := os.Open(a.bookFile())
	if errors.Is(err, fs.ErrNotExist) {
		return inventory.New(a.bookOptions()), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read inventory: %w", err)
	}
	book, err := inventory.Decode(f, a.bookOptions())
	_ = f.Close() // it was only read
	if errors.Is(err, inventory.ErrDamaged) {
		a.o.Logger.Warn("the inventory is begun anew, and the damaged one lies beside it as devices.book.damaged", obs.KeyError, err)
		if err := os.Rename(a.bookFile(), a.bookFile()+".damaged"); err != nil {
			return nil, fmt.Errorf("put the damaged inventory aside: %w", err)
		}
		return inventory.New(a.bookOptions()), nil
	}
	return book, err
}

// exposuresFile is where it is kept which exposures were told.
func (a *Agent) exposuresFile() string { return filepath.Join(a.o.DataDir, "exposures.json") }

// openExposures reads which exposures were told before. Where that cannot be read they are
// told again.
func (a *Agent) openExposures() {
	f, err := os.Open(a.exposuresFile())
	if err == nil {
		err = a.exposed.Decode(f)
		_ = f.Close() // it was only read
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.o.Logger.Warn("exposures are told anew", obs.KeyError, err)
	}
}

// save writes the inventory, whole or not at all.
func (a *Agent) save() {
	var b bytes.Buffer // so that nobody waits for the disk
	a.mu.Lock()
	err := a.book.Encode(&b)
	a.mu.Unlock()
	if err == nil {
		err = a.write(a.bookFile(), func(f *os.File) error {
			_, err := f.Write(b.Bytes())
			return err
		})
	}
	if err == nil {
		err = a.saveServers()
	}
	if err == nil && a.exposed != nil {
		err = a.write(a.exposuresFile(), func(f *os.File) error { return a.exposed.Encode(f) })
	}
	a.o.Condition(conditionDisk, err)
}

func (a *Agent) write(file string, content func(*os.File) error) error {
	f, err := os.OpenFile(file+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write inventory: %w", err)
	}
	if err = errors.Join(content(f), f.Sync(), f.Close()); err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		_ = os.Remove(file + ".new") // the next time truncates it
		return fmt.Errorf("write inventory: %w", err)
	}
	return nil
}
