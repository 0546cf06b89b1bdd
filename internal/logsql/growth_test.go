package logsql

import (
	"strings"
	"testing"
)

// TestGrowth: pipes that make texts longer and longer are refused, those that people
// write are not.
func TestGrowth(t *testing.T) {
	for _, text := range []string{
		`* | format "<host>: <process.name> by <user.name> in <process.working_directory>" as line | replace ("a", "bb") at line`,
		`* | replace ("http", "https") at message` + strings.Repeat(` | replace_regexp ("[0-9]+", "N") at message`, 40),
		`* | replace_regexp ("user=(\\w+)", "$1") at message | replace_regexp ("[0-9a-f]{32}", "<hash>") at message | replace_regexp ("[0-9]+", "<n>") at message`,
		`* | pack_json as all | limit 5`,
	} {
		if _, err := Parse(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{
		`* | format "<message><message><message><message><message><message><message><message><message><message><message>" as x` + strings.Repeat(` | format "<x><x><x><x><x>" as x`, 3),
		`*` + strings.Repeat(` | replace ("v", "vvvvvvvv") at labels`, 4),
		`*` + strings.Repeat(` | replace_regexp (".", "$0$0") at labels`, 11),
		`*` + strings.Repeat(` | replace_regexp ("x*", "0123456789abcdef") at labels`, 3),
		`*` + strings.Repeat(` | pack_json as a`, 4),
		"* | replace_regexp (`x*`, \"" + strings.Repeat("y", 1000) + "\") at message | stats count_uniq(message) n",
		`host:in(*` + strings.Repeat(` | replace ("v", "vvvvvvvv") at host`, 4) + ` | fields host)`,
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), "longer") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestTimesOutOfReach: the engine's nanoseconds end in 2262, and what is beyond comes
// round at their other end.
func TestTimesOutOfReach(t *testing.T) {
	for text, want := range map[string]string{
		"time:>9999-01-01T00:00:00Z":   "_time:>2261-12-31T23:59:59Z",
		"time:<0001-01-01":             "_time:<1970-01-01T00:00:00Z",
		"time:[1600,9999-12-31]":       "_time:[1970-01-01T00:00:00Z,2261-12-31T23:59:59Z]",
		"time:>2026-01-31T12:00:00Z":   "_time:>2026-01-31T12:00:00Z",
		"time:>=1969-12-31T23:59:59Z":  "_time:>=1970-01-01T00:00:00Z",
		"time:5m":                      "_time:5m",
		"time:[2026-01-31,2026-02-01)": "_time:[2026-01-31,2026-02-01)",
	} {
		q, err := Parse(text)
		if err != nil || q.Engine() != want {
			t.Errorf("%s: %q, %v; want %q", text, q.Engine(), err, want)
		}
	}
}
