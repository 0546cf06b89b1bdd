package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing wrong with a configuration.
type Fault struct { //nolint:errname // a fault is data first; reports list it
	File    string   `json:"file,omitempty"`   // file as it was named to Decode
	Line    int      `json:"line,omitempty"`   // from 1; 0 when the key is not in the file
	Column  int      `json:"column,omitempty"` // from 1; 0 when unknown
	Env     string   `json:"env,omitempty"`    // variable the value came from, if it did
	Key     string   `json:"key,omitempty"`    // path of the key, as in "server.port"
	Message string   `json:"message"`
	Valid   []string `json:"valid,omitempty"` // values or keys that would be right, when they can be listed
}

// Error gives the fault on one line, as FILE:LINE:COLUMN: KEY: MESSAGE, or with
// $VARIABLE in place of the position.
func (f Fault) Error() string {
	var b strings.Builder
	switch {
	case f.Env != "":
		b.WriteString("$" + f.Env + ": ")
	case f.File != "" && f.Line > 0:
		fmt.Fprintf(&b, "%s:%d:%d: ", f.File, f.Line, f.Column)
	case f.File != "":
		b.WriteString(f.File + ": ")
	}
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(f.Message)
	if len(f.Valid) > 0 {
		b.WriteString("; valid: " + strings.Join(f.Valid, ", "))
	}
	return b.String()
}

// Faults is every fault of one configuration. It is never empty as an error.
type Faults []Fault //nolint:errname // as Fault

// Error lists the faults, one a line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// sort orders faults by file, position and key; faults from variables come last.
func (fs Faults) sort() {
	slices.SortStableFunc(fs, func(a, b Fault) int {
		return cmp.Or(
			cmp.Compare(a.Env, b.Env),
			cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Key, b.Key),
		)
	})
}

// Nearest returns the candidate closest to word by edit distance, or "" when
// none is close enough to be what was meant.
func Nearest(word string, candidates []string) string {
	best, bestDistance := "", len(word)/3+2
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the optimal string alignment distance: insertions, deletions,
// substitutions and swaps of neighbours each cost one.
func distance(a, b string) int {
	// Only short words are names; a hostile key must not cost quadratic time.
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
