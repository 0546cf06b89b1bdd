package config

import (
	"regexp"
	"strconv"
	"strings"
)

// Edit is one key of a section to be set. Value is a plain text, a number or a list in
// brackets, as YAML reads it.
type Edit struct {
	Section, Key, Value string
}

// plainValue is what needs no quotes in YAML, as a value of ours: names, addresses,
// numbers and lists of names.
var plainValue = regexp.MustCompile(`^(\[[A-Za-z0-9_, -]*\]|[A-Za-z0-9][A-Za-z0-9._-]*)$`)

// Set writes keys into the text of a configuration file and leaves the rest as people
// wrote it, comments included. It knows sections in block style, two spaces deep, as
// our templates are; what it makes of another has to be decoded before it is written.
func Set(text []byte, edits ...Edit) []byte {
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	for _, e := range edits {
		value := e.Value
		if !plainValue.MatchString(value) {
			value = strconv.Quote(value)
		}
		lines = setLine(lines, e.Section, e.Key, "  "+e.Key+": "+value)
	}
	return []byte(strings.TrimLeft(strings.Join(lines, "\n"), "\n") + "\n")
}

func setLine(lines []string, section, key, line string) []string {
	head := regexp.MustCompile(`^` + regexp.QuoteMeta(section) + `:[ \t]*(#.*)?$`)
	own := regexp.MustCompile(`^  ` + regexp.QuoteMeta(key) + `:([ \t]|$)`)
	for i, l := range lines {
		if !head.MatchString(l) {
			continue
		}
		for j := i + 1; j < len(lines); j++ {
			if own.MatchString(lines[j]) {
				lines[j] = line
				return lines
			}
			if lines[j] != "" && lines[j][0] != ' ' && lines[j][0] != '#' {
				break // the next section
			}
		}
		return append(lines[:i+1:i+1], append([]string{line}, lines[i+1:]...)...)
	}
	return append(lines, "", section+":", line)
}
