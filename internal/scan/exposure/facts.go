package exposure

import (
	_ "embed"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/config"
)

//go:embed data/end_of_life.yaml
var ours []byte

// Facts say until when versions are mended.
type Facts struct {
	ends map[string][]end // by product, in lower case
}

// file is what a file of facts holds.
type file struct {
	EndOfLife []End `yaml:"end_of_life"`
}

// End says until when versions of a product are mended by its maker.
type End struct {
	// Product is as fingerprints and systems have it; Also are other names of it.
	Product string   `yaml:"product"`
	Also    []string `yaml:"also"`
	// Source is the maker's page that has the dates.
	Source string `yaml:"source"`
	// Versions have the last day (as 2024-06-30) by the beginning of a version: "10"
	// is 10 and 10.3, not 100. Empty is every version.
	Versions map[string]string `yaml:"versions"`
}

type end struct {
	Product, version, source string
	parts                    []string
	day                      time.Time
}

// Load reads our facts and those of files of users.
func Load(files ...string) (*Facts, error) {
	f := &Facts{ends: map[string][]end{}}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read ends of life: %w", err)
		}
		if err := f.add(name, text); err != nil {
			return nil, err
		}
	}
	return f, f.add("end_of_life.yaml", ours)
}

func (f *Facts) add(name string, text []byte) error {
	var in file
	if err := config.Decode(name, text, &in, config.DecodeOptions{Env: config.NoEnv}); err != nil {
		return fmt.Errorf("read ends of life: %w", err)
	}
	for _, e := range in.EndOfLife {
		for version, day := range e.Versions {
			at, err := time.Parse(time.DateOnly, day)
			if err != nil {
				return fmt.Errorf("read ends of life: %s: %s %s: %w", name, e.Product, version, err)
			}
			for _, product := range append([]string{e.Product}, e.Also...) {
				key := strings.ToLower(product)
				f.ends[key] = append(f.ends[key], end{e.Product, version, e.Source, versionParts(version), at})
			}
		}
	}
	return nil
}

// Validate implements config.Validator.
func (f *file) Validate(v *config.Check) {
	for i, e := range f.EndOfLife {
		c := v.Under(fmt.Sprintf("end_of_life[%d]", i))
		c.NotEmpty("product", e.Product)
		c.NotEmpty("source", e.Source)
		if len(e.Versions) == 0 {
			c.Add("versions", "needs at least one version")
		}
		for version, day := range e.Versions {
			if _, err := time.Parse(time.DateOnly, day); err != nil {
				c.Add("versions."+strconv.Quote(version), "%q is no day such as 2024-06-30", day)
			}
		}
	}
}

// versionParts are the numbers and words of a version: 9.2p1 is 9, 2, p1.
func versionParts(version string) []string {
	return strings.FieldsFunc(version, func(r rune) bool { return r == '.' || r == '-' || r == '_' || r == ' ' || r == '+' || r == '~' })
}

// ended finds the fact that covers a version most closely, where its day has passed.
func (f *Facts) ended(product, version string, now time.Time) (end, bool) {
	var best end
	found := false
	parts := versionParts(version)
	for _, e := range f.ends[strings.ToLower(product)] {
		if len(e.parts) <= len(parts) && slices.Equal(e.parts, parts[:len(e.parts)]) && (!found || len(e.parts) > len(best.parts)) {
			best, found = e, true
		}
	}
	return best, found && now.After(best.day.AddDate(0, 0, 1))
}

func (e end) sentence() string {
	return fmt.Sprintf("%s was mended until %s (%s).", strings.TrimSpace(e.Product+" "+e.version), e.day.Format(time.DateOnly), e.source)
}
