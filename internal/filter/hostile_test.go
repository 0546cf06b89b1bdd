package filter_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/filter"
)

// TestRegexIsBounded: a query of 8 KB must not compile to tens of megabytes.
func TestRegexIsBounded(t *testing.T) {
	for name, q := range map[string]string{
		"literal":    `message:~"` + strings.Repeat("x{1000}", 1100) + `"`,
		"class":      `message:~"` + strings.Repeat(`\pL{1000}`, 800) + `"`,
		"nested":     `message:~"` + strings.Repeat("((x{10}){10}){10}", 100) + `"`,
		"one a term": strings.Repeat(`message:~"x{1000}" `, 200),
	} {
		var fault *filter.SyntaxError
		if _, err := filter.Parse(q); !errors.As(err, &fault) || !strings.Contains(err.Error(), "too large") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, q := range []string{
		`message:~"^/usr/(local/)?bin/[a-z0-9._-]{1,64}$"`,
		`message:~"(?i)(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}"`,
		`message:~"\pL{1,40}"`, `message:~"x{1000}"`,
	} {
		if _, err := filter.Parse(q); err != nil {
			t.Errorf("%s: %v", q, err)
		}
	}
}
