package app

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
)

// ConfigFile is one configuration file that some role reads.
type ConfigFile struct {
	Name     string // role or agent kind
	Path     string
	Template func() []byte
	// load reads it and returns the struct; the error is a config.Faults.
	load func(config.DecodeOptions) (any, error)
}

// ConfigFiles lists every file that the program reads under e.Home.
func ConfigFiles(e *cli.Env) []ConfigFile {
	var files []ConfigFile
	for _, r := range Roles() {
		files = append(files, ConfigFile{Name: r.Name, Path: r.File(e.Home), Template: r.Template, load: func(o config.DecodeOptions) (any, error) {
			s, err := r.Load(e, RoleOptions{}, o)
			return s, err
		}})
	}
	for _, d := range endpoint.Definitions() {
		path := e.Home.AgentConfig(d.ConfigName)
		if slices.ContainsFunc(files, func(f ConfigFile) bool { return f.Path == path }) {
			continue // two agents may share a file: the generator has macos's
		}
		files = append(files, ConfigFile{Name: d.Kind, Path: path, Template: d.Template, load: func(o config.DecodeOptions) (any, error) {
			loaded, err := d.Load(path, o)
			return loaded, err
		}})
	}
	return files
}

// WriteTemplates writes the commented default of every file that is missing, and
// returns the paths of those it wrote.
func WriteTemplates(e *cli.Env) ([]string, error) {
	var written []string
	for _, f := range ConfigFiles(e) {
		wrote, err := config.WriteMissing(f.Path, f.Template())
		if err != nil {
			return written, err
		}
		if wrote {
			written = append(written, f.Path)
		}
	}
	return written, nil
}

// Validation is what ValidateConfig found; `amoskys config validate --json` prints it.
type Validation struct {
	OK     bool          `json:"ok"`
	Files  []string      `json:"files"` // that exist and were read
	Faults config.Faults `json:"faults"`
}

// ValidateConfig reads every file and gathers all faults: those of each file and
// variable, files and variables that nothing reads, and ports given twice.
func ValidateConfig(e *cli.Env) Validation {
	v := Validation{Files: []string{}, Faults: config.Faults{}}
	known := map[string]bool{config.HomeVariable: true, endpoint.NodeNameVariable: true, endpoint.TokenVariable: true}
	places := map[string][]place{}
	var wanted []string // agents that the node runs: others do not listen
	for _, f := range ConfigFiles(e) {
		sources := map[string]string{}
		cfg, err := f.load(config.DecodeOptions{Env: recording(e.Lookup, known), Sources: sources})
		if _, statErr := os.Stat(f.Path); statErr == nil {
			v.Files = append(v.Files, f.Path)
		}
		if faults, ok := errors.AsType[config.Faults](err); ok {
			v.Faults = append(v.Faults, faults...)
			continue
		}
		if err != nil {
			v.Faults = append(v.Faults, config.Fault{File: f.Path, Message: err.Error()})
			continue
		}
		if s, ok := cfg.(Settings); ok {
			for _, a := range s.Agents {
				wanted = append(wanted, a.ID)
			}
		}
		for _, p := range listens(f, cfg, wanted) {
			p.source = sources[p.key]
			places[p.port] = append(places[p.port], p)
		}
	}
	v.Faults = append(v.Faults, strangeFiles(e)...)
	v.Faults = append(v.Faults, strangeVariables(known)...)
	v.Faults = append(v.Faults, collisions(places)...)
	v.Faults = distinct(v.Faults)
	v.OK = len(v.Faults) == 0
	return v
}

// distinct drops what several files say of the same variable.
func distinct(faults config.Faults) config.Faults {
	seen := map[string]bool{}
	return slices.DeleteFunc(faults, func(f config.Fault) bool {
		text := f.Error()
		repeated := seen[text]
		seen[text] = true
		return repeated
	})
}

// recording is lookup, noting every name that is asked for.
func recording(lookup func(string) (string, bool), names map[string]bool) func(string) (string, bool) {
	return func(name string) (string, bool) {
		names[name] = true
		if lookup == nil {
			return "", false
		}
		return lookup(name)
	}
}

// strangeFiles reports YAML files in the configuration folder that nothing reads,
// which are most likely misspelt.
func strangeFiles(e *cli.Env) config.Faults {
	var faults config.Faults
	names := map[string]string{}
	for _, f := range ConfigFiles(e) {
		names[filepath.Base(f.Path)] = f.Path
	}
	err := filepath.WalkDir(e.Home.Config(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		ext := filepath.Ext(path)
		if ext != ".yaml" && ext != ".yml" || names[filepath.Base(path)] == path {
			return nil
		}
		message := "nothing reads this file"
		if near := config.Nearest(filepath.Base(path), slices.Sorted(maps.Keys(names))); near != "" {
			message += fmt.Sprintf(", did you mean %q?", names[near])
		}
		faults = append(faults, config.Fault{File: path, Message: message})
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		faults = append(faults, config.Fault{File: e.Home.Config(), Message: err.Error()})
	}
	return faults
}

// strangeVariables reports AMOSKYS_ variables that nothing reads.
func strangeVariables(known map[string]bool) config.Faults {
	var faults config.Faults
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "AMOSKYS_") || known[name] || name == config.EnvRole || name == config.EnvSupervised || name == config.EnvAgentID || name == config.EnvRunAs {
			continue
		}
		message := "nothing reads this variable"
		if near := config.Nearest(name, slices.Sorted(maps.Keys(known))); near != "" {
			message += ", did you mean " + near + "?"
		}
		faults = append(faults, config.Fault{Env: name, Message: message})
	}
	return faults
}

// place is a port that a file says to listen on.
type place struct {
	file, key, port, source string
}

// listens finds the ports that a configuration listens on. wanted are the agents
// that run; the node's file is read before theirs.
func listens(f ConfigFile, cfg any, wanted []string) []place {
	var out []place
	add := func(key, addr string) {
		if _, port, err := net.SplitHostPort(addr); err == nil && port != "0" {
			out = append(out, place{file: f.Path, key: key, port: port})
		}
	}
	switch c := cfg.(type) {
	case Settings:
		for _, p := range c.Ports {
			add(p.Key, p.Addr)
		}
	case agent.Loaded:
		if slices.Contains(wanted, c.Common.ID) && c.Common.Enabled {
			add("http.port", c.Common.HTTP.Addr())
		}
	}
	return out
}

// collisions reports ports that two files, or two keys of one, listen on.
func collisions(places map[string][]place) config.Faults {
	var faults config.Faults
	for _, port := range slices.Sorted(maps.Keys(places)) {
		list := places[port]
		for _, p := range list[1:] {
			f := config.Fault{File: p.file, Key: p.key, Message: fmt.Sprintf("port %s is also %s in %s", port, list[0].key, list[0].file)}
			if _, line, ok := strings.Cut(strings.TrimPrefix(p.source, p.file), ":"); ok {
				f.Line, _ = strconv.Atoi(line)
				f.Column = 1
			}
			faults = append(faults, f)
		}
	}
	return faults
}

// settingsOf is the struct of settings in what a file was read into.
func settingsOf(cfg any) any {
	switch c := cfg.(type) {
	case agent.Loaded:
		return c.Config
	case Settings:
		return c.Config
	}
	return cfg
}

// ShownFile is one file with its effective settings.
type ShownFile struct {
	Name     string         `json:"name"`
	Path     string         `json:"path"`
	Settings []config.Entry `json:"settings"`
}

// ShowConfig lists what is in force, file by file, with where each value comes
// from. Secrets are redacted. name limits it to one role or agent kind.
func ShowConfig(e *cli.Env, name string) ([]ShownFile, error) {
	var out []ShownFile
	var names []string
	var faults config.Faults
	for _, f := range ConfigFiles(e) {
		names = append(names, f.Name)
		if name != "" && name != f.Name {
			continue
		}
		sources := map[string]string{}
		cfg, err := f.load(config.DecodeOptions{Env: e.Lookup, Sources: sources})
		if more, ok := errors.AsType[config.Faults](err); ok {
			faults = append(faults, more...)
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, ShownFile{Name: f.Name, Path: f.Path, Settings: config.Entries(settingsOf(cfg), sources)})
	}
	if len(faults) > 0 {
		return nil, faults
	}
	if len(out) == 0 {
		return nil, cli.Usagef("there is no configuration %q; valid: %s", name, strings.Join(names, ", "))
	}
	return out, nil
}

// OtherSettings are those in force of the processes beside the node and its agents, as far
// as their files can be read.
func OtherSettings(e *cli.Env) []endpoint.Settings {
	var out []endpoint.Settings
	for _, f := range ConfigFiles(e) {
		cfg, err := f.load(config.DecodeOptions{Env: e.Lookup})
		if err != nil {
			continue
		}
		if s, is := cfg.(Settings); is {
			out = append(out, endpoint.Settings{Name: f.Name, Config: s.Config})
		}
	}
	return out
}
