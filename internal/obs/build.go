package obs

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// Build says which program is running.
type Build struct {
	Version  string `json:"version"`          // release, or "devel"
	Revision string `json:"revision"`         // commit, empty when unknown
	Modified bool   `json:"modified"`         // built from a changed tree
	Time     string `json:"time,omitempty"`   // time of the commit, RFC 3339
	Go       string `json:"go"`               // Go release
	OS       string `json:"os"`               // GOOS
	Arch     string `json:"arch"`             // GOARCH
	Module   string `json:"module,omitempty"` // main module
}

// Set by the linker in releases, which may be built from a source without its history:
// -X …/internal/obs.version=1.2.3 (tools/build-programs.sh).
var version, revision, revisionTime, modified string //nolint:gochecknoglobals // the linker writes variables alone

// ReadBuild reads what the linker and the toolchain stamped into the program.
func ReadBuild() Build {
	b := Build{Version: "devel", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Module = info.Main.Path
		if v := info.Main.Version; v != "" && v != "(devel)" {
			b.Version = v
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Revision = s.Value
			case "vcs.time":
				b.Time = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	if version != "" {
		b.Version = strings.TrimPrefix(version, "v")
	}
	if revision != "" {
		b.Revision, b.Time, b.Modified = revision, revisionTime, modified == "true"
	}
	return b
}
