package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
)

// SetAside is a day whose files were moved out of the engine's way. Its events are to be
// inserted again from the log, as far as that still has them.
type SetAside struct {
	Day    string    `json:"day"`    // YYYYMMDD, or a name that is no day
	Folder string    `json:"folder"` // in quarantine/
	Time   time.Time `json:"time"`   // when
	Why    string    `json:"why"`    // for people
	// Text is what the engine wrote when it ended; it may hold parts of events.
	Text []string `json:"text,omitempty"`
	// Rebuilt is when its events had been inserted again; zero until then.
	Rebuilt time.Time `json:"rebuilt,omitzero"`
}

// timestampFormat is of folders in quarantine, in UTC.
const timestampFormat = "20060102T150405.000"

// setAside moves the day's folder into quarantine, and writes beside it why. The engine
// must not run.
func (k *Keeper) setAside(day, why string, text []string) error {
	now := time.Now().UTC()
	a := SetAside{Day: day, Folder: day + "-" + now.Format(timestampFormat), Time: now, Why: why, Text: text}
	from := filepath.Join(k.partitions(), day)
	to := filepath.Join(k.quarantineDir(), a.Folder)
	if err := errors.Join(os.Rename(from, to), syncDir(k.partitions()), syncDir(k.quarantineDir())); err != nil {
		return fmt.Errorf("set day %s of the store aside (%s): %w", day, why, err)
	}
	return k.noteSetAside(a)
}

// setAsideOnce is setAside where the folder is there still.
func (k *Keeper) setAsideOnce(day, why string, text []string) error {
	if !exists(k.partitions(), day) {
		return nil
	}
	return k.setAside(day, why, text)
}

// noteLost notes a day whose folder is not there. One that is to be rebuilt anyway is
// not noted twice.
func (k *Keeper) noteLost(day, why string) error {
	for _, a := range k.State().SetAside {
		if a.Day == day && a.Rebuilt.IsZero() {
			return k.forgetLedger(day, a.Folder)
		}
	}
	now := time.Now().UTC()
	return k.noteSetAside(SetAside{Day: day, Folder: day + "-" + now.Format(timestampFormat), Time: now, Why: why})
}

// forgetLedger moves the checksums of a day that is not there any more to its files in
// quarantine.
func (k *Keeper) forgetLedger(day, folder string) error {
	delete(k.scanned, day)
	err := os.Rename(filepath.Join(k.sumsDir(), day+".json"), filepath.Join(k.quarantineDir(), folder+".sums"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("set the checksums of day %s aside: %w", day, err)
	}
	return nil
}

// noteSetAside writes down what was set aside, and tells.
func (k *Keeper) noteSetAside(a SetAside) error {
	if err := errors.Join(writeSetAside(k.quarantineDir(), a), k.forgetLedger(a.Day, a.Folder)); err != nil {
		return err
	}
	k.logger.Error("a day of the store was set aside and is to be rebuilt from the log", "day", a.Day, obs.KeyReason, a.Why, obs.KeyPath, k.quarantineDir())
	k.update(func(s *State) { s.SetAside = append(s.SetAside, a) })
	if k.o.OnSetAside != nil {
		k.o.OnSetAside(a)
	}
	return nil
}

// Rebuilt notes that the events of a day that was set aside are there again.
func (k *Keeper) Rebuilt(folder string) error {
	var found SetAside
	k.update(func(s *State) {
		for i := range s.SetAside {
			if s.SetAside[i].Folder == folder {
				s.SetAside[i].Rebuilt = time.Now().UTC()
				found = s.SetAside[i]
			}
		}
	})
	if found.Folder == "" {
		return fmt.Errorf("nothing was set aside as %s", folder)
	}
	return writeSetAside(k.quarantineDir(), found)
}

func (k *Keeper) partitions() string { return filepath.Join(k.engineDir(), "partitions") }

func writeSetAside(dir string, a SetAside) error {
	b, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return fmt.Errorf("note why day %s was set aside: %w", a.Day, err)
	}
	return writeFile(filepath.Join(dir, a.Folder+".json"), append(b, '\n'))
}

// readSetAside reads what earlier runs set aside, oldest first. A folder without its
// file is known all the same: the store ended between the two.
func readSetAside(dir string) ([]SetAside, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	var all []SetAside
	for _, e := range entries {
		name, isFile := strings.CutSuffix(e.Name(), ".json")
		if !isFile {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		var a SetAside
		if json.Unmarshal(b, &a) == nil && a.Folder == name {
			known[name] = true
			all = append(all, a)
		}
	}
	for _, e := range entries {
		day, stamp, ok := strings.Cut(e.Name(), "-")
		when, err := time.Parse(timestampFormat, stamp)
		if !ok || err != nil || known[e.Name()] {
			continue
		}
		a := SetAside{Day: day, Folder: e.Name(), Time: when, Why: "the store ended while it set this aside, before it could say why"}
		if err := writeSetAside(dir, a); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b SetAside) int { return a.Time.Compare(b.Time) })
	return all, nil
}
