package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/amoskys/amoskys/internal/metrics/promapi"
)

// Bounds of files with rules: how many, the bytes of one, the rules of all, and the series
// that a rule of a group gives which names no limit. A group is evaluated no more often
// than leastInterval.
const (
	maxFiles      = 256
	maxFileBytes  = 1 << 20
	maxRules      = 2000
	defaultLimit  = 1000
	maxLimit      = 20_000
	leastInterval = 5 * time.Second
)

// Fault is why a file with rules is refused.
type Fault struct {
	File   string
	Line   int // 0 where it is of none
	Reason string
}

func (f Fault) String() string {
	if f.Line == 0 {
		return f.File + ": " + f.Reason
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Reason)
}

// maxFaults bounds those of one file.
const maxFaults = 20

// parsed is what is known of a file.
type parsed struct {
	sign   sign
	good   *rulefmt.RuleGroups // as it was last without a fault; nil: it never was
	faults []Fault
}

// sign tells whether a file has changed.
type sign struct {
	size int64
	at   time.Time
}

// loader reads files with rules and gives what is good of them to Prometheus' manager.
type loader struct {
	mu    sync.Mutex // guards files
	files map[string]*parsed
	begun bool
}

func newLoader() *loader { return &loader{files: map[string]*parsed{}} }

// look reads what has changed, and returns all files with something to evaluate; nil where
// nothing has changed.
func (l *loader) look(dir string, shipped bool) (files []string, err error) {
	names, err := filesOf(dir)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := !l.begun
	seen := map[string]bool{}
	for _, name := range names {
		again, there := l.lookAt(filepath.Join(dir, name), name)
		changed = changed || again
		seen[name] = there
	}
	if shipped && !seen[ShippedFile] { // a file of that name takes the place of ours
		if f := l.files[ShippedFile]; f == nil || f.sign != (sign{}) {
			groups, faults := Parse(ShippedFile, Shipped())
			l.files[ShippedFile] = &parsed{good: groups, faults: faults}
			changed = true
		}
		seen[ShippedFile] = true
	}
	for name := range l.files {
		if !seen[name] {
			delete(l.files, name)
			changed = true
		}
	}
	if !changed {
		return nil, nil
	}
	l.begun = true
	return l.chosen(), nil
}

// lookAt reads a file if it has changed; gone: it is not there any more.
func (l *loader) lookAt(path, name string) (changed, there bool) {
	info, err := os.Stat(path) // what a link names
	if errors.Is(err, fs.ErrNotExist) {
		return false, false
	}
	f := l.files[name]
	if f == nil {
		f = &parsed{}
		l.files[name] = f
	}
	now := sign{size: -1}
	if err == nil {
		now = sign{info.Size(), info.ModTime()}
	}
	if f.sign == now {
		return false, true
	}
	f.sign = now
	var b []byte
	if err == nil {
		b, err = readFile(path)
	}
	if err != nil {
		f.sign, f.faults = sign{size: -1}, []Fault{{File: name, Reason: err.Error()}}
		return true, true
	}
	groups, faults := Parse(name, b)
	if f.faults = faults; len(faults) == 0 {
		f.good = groups
	}
	return true, true
}

// chosen are the files to evaluate, in order, as far as the rules of all have room. The
// caller holds mu.
func (l *loader) chosen() (files []string) {
	files, total := []string{}, 0
	for _, name := range slices.Sorted(maps.Keys(l.files)) {
		f := l.files[name]
		n := rulesOf(f.good)
		if total+n > maxRules {
			f.faults, f.good, n = []Fault{{File: name, Reason: fmt.Sprintf("all files together have more than %d rules", maxRules)}}, nil, 0
		}
		total += n
		if f.good != nil && len(f.good.Groups) > 0 {
			files = append(files, name)
		}
	}
	return files
}

func rulesOf(g *rulefmt.RuleGroups) (n int) {
	if g == nil {
		return 0
	}
	for i := range g.Groups {
		n += len(g.Groups[i].Rules)
	}
	return n
}

// count is how many rules are evaluated.
func (l *loader) count() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.files {
		n += rulesOf(f.good)
	}
	return n
}

func (l *loader) faults() (list []Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(l.files)) {
		list = append(list, l.files[name].faults...)
	}
	return list
}

// has reports whether there is a rule that alerts of a name, or a file that has a fault and
// may have it.
func (l *loader) has(file, group, alert string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.files[file]
	if f == nil {
		return false
	}
	if f.good == nil {
		return len(f.faults) > 0
	}
	for _, g := range f.good.Groups {
		if g.Name == group && slices.ContainsFunc(g.Rules, func(r rulefmt.Rule) bool { return r.Alert == alert }) {
			return true
		}
	}
	return false
}

// Load implements rules.GroupLoader of Prometheus.
func (l *loader) Load(name string, _ bool, _ model.ValidationScheme) (*rulefmt.RuleGroups, []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.files[name]; f != nil && f.good != nil {
		return f.good, nil
	}
	return nil, []error{fmt.Errorf("%s: %w", name, fs.ErrNotExist)}
}

// Parse implements rules.GroupLoader of Prometheus.
func (*loader) Parse(query string) (parser.Expr, error) { return promapi.Parse(query) }

// filesOf lists the files with rules in a folder, which need not be there. Those of tests,
// which end in _test.yml, are none.
func filesOf(dir string) (names []string, err error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list files with rules: %w", err)
	}
	for _, e := range entries {
		if !IsRuleFile(e.Name()) || e.IsDir() {
			continue
		}
		if names = append(names, e.Name()); len(names) > maxFiles {
			return nil, fmt.Errorf("there are more than %d files with rules", maxFiles)
		}
	}
	return names, nil
}

// IsRuleFile reports whether a file of a name has rules.
func IsRuleFile(name string) bool {
	stem, yaml := strings.CutSuffix(name, ".yml")
	if !yaml {
		stem, yaml = strings.CutSuffix(name, ".yaml")
	}
	return yaml && stem != "" && stem[0] != '.' && !strings.HasSuffix(stem, "_test")
}

// readFile reads a file that is not too long.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err //nolint:wrapcheck // it names the file
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no file") // a pipe would be waited for
	case info.Size() > maxFileBytes:
		return nil, fmt.Errorf("it has %d KiB, and %d are the most", info.Size()>>10, maxFileBytes>>10)
	}
	return os.ReadFile(path) //nolint:wrapcheck // it names the file
}

// Parse reads a file with rules; it is refused if there are faults. Groups get our limit
// where they name none.
func Parse(name string, b []byte) (*rulefmt.RuleGroups, []Fault) {
	if len(bytes.TrimSpace(b)) > 0 && bytes.IndexByte(b, 0) >= 0 {
		return nil, []Fault{{File: name, Reason: "it is no text"}}
	}
	groups, errs := parseGroups(b)
	var faults []Fault
	for _, err := range errs {
		faults = append(faults, faultsOf(name, err)...)
	}
	if len(faults) == 0 {
		faults = ownFaults(name, groups)
	}
	if len(faults) > maxFaults {
		faults = faults[:maxFaults]
	}
	return groups, faults
}

// parseGroups parses; what a parser cannot take becomes an error.
func parseGroups(b []byte) (groups *rulefmt.RuleGroups, errs []error) {
	defer func() {
		if cause := recover(); cause != nil {
			groups, errs = nil, []error{fmt.Errorf("it cannot be parsed: %v", cause)}
		}
	}()
	return rulefmt.Parse(b, false, model.LegacyValidation, promapi.NewBoundedParser(), slog.New(slog.DiscardHandler))
}

// ownFaults are those which Prometheus does not know, and sets limits.
func ownFaults(name string, groups *rulefmt.RuleGroups) (faults []Fault) {
	refuse := func(format string, args ...any) {
		faults = append(faults, Fault{File: name, Reason: fmt.Sprintf(format, args...)})
	}
	if n := rulesOf(groups); n > maxRules {
		refuse("it has %d rules, and %d are the most", n, maxRules)
	}
	for i := range groups.Groups {
		g := &groups.Groups[i]
		if interval := time.Duration(g.Interval); interval != 0 && interval < leastInterval {
			refuse("group %q is evaluated every %s, and %s is the least", g.Name, interval, leastInterval)
		}
		switch {
		case g.Limit == 0:
			g.Limit = defaultLimit
		case g.Limit < 0 || g.Limit > maxLimit:
			refuse("group %q has the limit %d, and %d is the most", g.Name, g.Limit, maxLimit)
		}
	}
	return faults
}

// Where errors of rulefmt and of its YAML parser say the line.
var (
	atLine   = regexp.MustCompile(`^(\d+):\d+: (?:\d+:\d+: )?`)
	yamlLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): `)
	goType   = regexp.MustCompile(` in type rulefmt\.\w+`)
)

// faultsOf takes an error apart: that of a YAML parser may be several.
func faultsOf(name string, err error) (faults []Fault) {
	text, several := strings.CutPrefix(err.Error(), "yaml: unmarshal errors:\n")
	lines := []string{text}
	if several {
		lines = strings.Split(text, "\n")
	}
	for _, line := range lines {
		f := Fault{File: name, Reason: strings.TrimSpace(line)}
		for _, form := range []*regexp.Regexp{atLine, yamlLine} {
			if m := form.FindStringSubmatch(f.Reason); m != nil {
				f.Line, _ = strconv.Atoi(m[1])
				f.Reason = f.Reason[len(m[0]):]
			}
		}
		f.Reason = goType.ReplaceAllString(f.Reason, "")
		faults = append(faults, f)
	}
	return faults
}

// ParseFile reads a file with rules as Parse does; one that cannot be read has a fault.
func ParseFile(file string) (*rulefmt.RuleGroups, []Fault) {
	b, err := readFile(file)
	if err != nil {
		return nil, []Fault{{File: file, Reason: err.Error()}}
	}
	return Parse(file, b)
}
