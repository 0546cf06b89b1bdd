package snmp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	// devicesFile and placesFile are what outlasts a restart, in the agent's data folder.
	devicesFile = "devices.json"
	placesFile  = "places.bin"
	// devicesVersion is of the form of devicesFile.
	devicesVersion = 1
	// maxStateBytes bounds what is read back.
	maxStateBytes = 64 << 20
)

// memory is the form of devicesFile. It holds names of credentials, never what they are.
type memory struct {
	Version int     `json:"version"`
	Devices []kept  `json:"devices"`
	Wrong   []wrong `json:"wrong,omitempty"`
}

// wrong is a credential that a device has refused, when last, and until when it rests.
type wrong struct {
	Addr       string    `json:"addr"`
	Credential string    `json:"credential"`
	Tries      int       `json:"tries"`
	Last       time.Time `json:"last,omitzero"`
	Until      time.Time `json:"until"`
}

var errState = errors.New("the file is damaged or of another version")

// parseMemory reads the file's text.
func parseMemory(b []byte) (memory, error) {
	var m memory
	if err := json.Unmarshal(b, &m); err != nil {
		return memory{}, fmt.Errorf("%w: %w", errState, err)
	}
	if m.Version != devicesVersion {
		return memory{}, fmt.Errorf("%w: version %d", errState, m.Version)
	}
	return m, nil
}

// readState reads a file of the data folder; none is empty.
func readState(dir, name string) ([]byte, error) {
	file := filepath.Join(dir, name)
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if info.Size() > maxStateBytes {
		return nil, fmt.Errorf("read %s: %w: %d bytes", name, errState, info.Size())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

// writeState replaces a file of the data folder, so that it is whole at any time.
func writeState(dir, name string, b []byte) error {
	f, err := os.CreateTemp(dir, name+".*")
	if err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keep %s: %w", name, err), os.Remove(f.Name()))
	}
	return nil
}

func writeMemory(dir string, m memory) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("keep %s: %w", devicesFile, err)
	}
	return writeState(dir, devicesFile, b)
}
