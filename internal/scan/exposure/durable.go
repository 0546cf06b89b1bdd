package exposure

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrDamaged says that what was told cannot be read.
var ErrDamaged = errors.New("what was told of exposures is damaged")

// maxKept bounds what Decode reads, in bytes: maxDevices with some findings each.
const maxKept = 64 << 20

// kept is what was told, as it lies on disk.
type kept struct {
	Version int                   `json:"version"`
	Devices map[string][]keptOnce `json:"devices"` // by uid
}

// keptOnce is one finding that was told.
type keptOnce struct {
	UID         string            `json:"uid"`
	Kind        Kind              `json:"kind"`
	Port        uint32            `json:"port,omitempty"`
	Protocol    string            `json:"protocol,omitempty"`
	What        string            `json:"what,omitempty"`
	Description string            `json:"description"`
	Observables map[string]string `json:"observables,omitempty"`
}

const keptVersion = 1

// Encode writes what was told, so that it is known after a restart: a finding is then told
// once, and resolved under the uid that it was told by, whatever the device is called.
func (w *Watch) Encode(to io.Writer) error {
	k := kept{Version: keptVersion, Devices: make(map[string][]keptOnce, len(w.known))}
	for device, all := range w.known {
		for _, t := range all {
			k.Devices[device] = append(k.Devices[device], keptOnce{t.uid, t.kind, t.port, t.protocol, t.what, t.description, t.observables})
		}
	}
	if err := json.NewEncoder(to).Encode(k); err != nil {
		return fmt.Errorf("write what was told of exposures: %w", err)
	}
	return nil
}

// Decode reads what Encode wrote. ErrDamaged: it is not that, and nothing is known.
func (w *Watch) Decode(from io.Reader) error {
	var k kept
	if err := json.NewDecoder(io.LimitReader(from, maxKept)).Decode(&k); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if k.Version != keptVersion || len(k.Devices) > maxDevices {
		return fmt.Errorf("%w: version %d, %d devices", ErrDamaged, k.Version, len(k.Devices))
	}
	for device, all := range k.Devices {
		for _, t := range all {
			if _, is := profiles()[t.Kind]; !is || t.UID == "" || device == "" {
				continue // of another build
			}
			s := sighting{t.Kind, t.Port, t.Protocol, t.What, t.Description, t.Observables}
			if w.known[device] == nil {
				w.known[device] = map[string]told{}
			}
			w.known[device][s.key()] = told{s, t.UID}
		}
	}
	return nil
}
