package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// desired remembers over restarts which agents a person has stopped.
type desired struct {
	file string // empty: not kept

	mu   sync.Mutex // guards list
	list []string   // ids of stopped agents
}

// desiredFile is the form of the file.
type desiredFile struct {
	Stopped []string `json:"stopped"`
}

func loadDesired(file string) (*desired, error) {
	d := &desired{file: file}
	if file == "" {
		return d, nil
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read node state: %w", err)
	}
	var f desiredFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("read node state %s (delete it to start every agent): %w", file, err)
	}
	d.list = f.Stopped
	return d, nil
}

func (d *desired) stopped(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.list, id)
}

// set notes that a person stopped or started an agent. An error means that this
// will be forgotten, and that nothing was changed.
func (d *desired) set(id string, stopped bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.Contains(d.list, id) == stopped {
		return nil
	}
	list := slices.DeleteFunc(slices.Clone(d.list), func(s string) bool { return s == id })
	if stopped {
		list = append(list, id)
		slices.Sort(list)
	}
	if err := d.write(list); err != nil {
		return err
	}
	d.list = list
	return nil
}

func (d *desired) write(list []string) error {
	if d.file == "" {
		return nil
	}
	if list == nil {
		list = []string{}
	}
	text, err := json.Marshal(desiredFile{Stopped: list})
	if err != nil {
		return fmt.Errorf("write node state: %w", err)
	}
	temp, err := os.CreateTemp(filepath.Dir(d.file), ".node-*")
	if err != nil {
		return fmt.Errorf("write node state: %w", err)
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(append(text, '\n'))
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return fmt.Errorf("write node state: %w", err)
	}
	if err := os.Rename(temp.Name(), d.file); err != nil {
		return fmt.Errorf("write node state: %w", err)
	}
	return nil
}
