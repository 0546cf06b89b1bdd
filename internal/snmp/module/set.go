package module

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed data/*.yaml
var builtIn embed.FS

// maxFiles bounds a user's folder.
const maxFiles = 500

// Set is all modules that are known, by name. It is not changed once made, and safe
// for concurrent use.
type Set struct {
	modules []*Module
	traps   map[string]string
}

// BuiltIn returns the modules that are part of the program.
func BuiltIn() (*Set, error) { return Load("", nil) }

// Load returns the modules that are built in, and those of the *.yaml files in folder,
// which replace built-in ones of the same name. An empty folder is none; one that does
// not exist has none. names are for OIDs that a file of the folder writes by name; nil knows
// none. The error names each file that is wrong; the Set holds the rest.
func Load(folder string, names Namer) (*Set, error) {
	byName := map[string]*Module{}
	faults := gather(builtIn, "data", "built in: ", byName, nil)
	if folder != "" {
		faults = errors.Join(faults, gather(os.DirFS(folder), ".", folder+string(filepath.Separator), byName, names))
	}
	s := &Set{traps: map[string]string{}}
	for _, m := range byName {
		s.modules = append(s.modules, m)
		maps.Copy(s.traps, m.Traps)
	}
	slices.SortFunc(s.modules, func(a, b *Module) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.Name, b.Name))
	})
	return s, faults
}

// rank puts what is for all devices in the order in which it is best read: tables that
// others refer to first.
func (m *Module) rank() int {
	if len(m.For) > 0 {
		return 50
	}
	if i := slices.Index([]string{"system", "if-mib", "host-resources", "ucd-snmp", "entity", "entity-sensor"}, m.Name); i >= 0 {
		return i
	}
	return 90
}

// gather reads the modules of a folder into byName.
func gather(in fs.FS, folder, shown string, byName map[string]*Module, names Namer) error {
	entries, err := fs.ReadDir(in, folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read walk modules in %s: %w", shown, err)
	}
	var faults []error
	here := map[string]string{}
	for i, entry := range entries {
		if entry.IsDir() || !strings.HasSuffix(entry.Name(), ".yaml") {
			continue
		}
		if i >= maxFiles {
			faults = append(faults, fmt.Errorf("%s: more than %d files", shown, maxFiles))
			break
		}
		text, err := fs.ReadFile(in, pathIn(folder, entry.Name()))
		if err != nil {
			faults = append(faults, fmt.Errorf("read walk module: %w", err))
			continue
		}
		all, err := Decode(shown+entry.Name(), text, names)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		for _, m := range all {
			if first, twice := here[m.Name]; twice {
				faults = append(faults, fmt.Errorf("%s%s: module %q is in %s too", shown, entry.Name(), m.Name, first))
				continue
			}
			here[m.Name], byName[m.Name] = entry.Name(), m
		}
	}
	return errors.Join(faults...)
}

func pathIn(folder, name string) string {
	if folder == "." {
		return name
	}
	return folder + "/" + name
}

// All are the modules in the order of reading.
func (s *Set) All() []*Module { return slices.Clone(s.modules) }

// Named are the modules with these names; the error lists the names that are not known.
func (s *Set) Named(names ...string) ([]*Module, error) {
	var out []*Module
	var unknown []string
	for _, name := range names {
		i := slices.IndexFunc(s.modules, func(m *Module) bool { return m.Name == name })
		if i < 0 {
			unknown = append(unknown, name)
			continue
		}
		out = append(out, s.modules[i])
	}
	if len(unknown) > 0 {
		return out, fmt.Errorf("no walk module is called %s; docs/snmp.md lists them", strings.Join(unknown, ", "))
	}
	slices.SortStableFunc(out, func(a, b *Module) int { return cmp.Compare(a.rank(), b.rank()) })
	return out, nil
}

// ForDevice are the modules for a device: those for all, and those whose For fits its
// sysObjectID or one of the enterprises that it has something below of.
func (s *Set) ForDevice(object string, enterprises []uint32) []*Module {
	var out []*Module
	for _, m := range s.modules {
		if m.fits(object, enterprises) {
			out = append(out, m)
		}
	}
	return out
}

func (m *Module) fits(object string, enterprises []uint32) bool {
	if len(m.For) == 0 {
		return true
	}
	for _, text := range m.For {
		prefix, number, _ := scope(text)
		if prefix != "" && (object == prefix || strings.HasPrefix(object, prefix+".")) {
			return true
		}
		if prefix == "" && slices.Contains(enterprises, number) {
			return true
		}
	}
	return false
}

// Trap is the name of a notification, or "".
func (s *Set) Trap(oid string) string { return s.traps[oid] }

// Enterprises are the numbers below 1.3.6.1.4.1 that modules ask for.
func (s *Set) Enterprises() []uint32 {
	var out []uint32
	for _, m := range s.modules {
		for _, text := range m.For {
			if _, number, ok := scope(text); ok && number != 0 && !slices.Contains(out, number) {
				out = append(out, number)
			}
		}
	}
	slices.Sort(out)
	return out
}
