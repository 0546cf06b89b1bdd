package cli

import (
	"fmt"
	"strings"
)

// hidden are the characters that a reader does not see although they change what
// is read: controls, zero-width marks, marks of direction (CVE-2021-42574), fillers,
// tags and variation selectors beyond the usual ones. The dashboard has the same
// table in web/src/lib/format/marks.ts; testdata/marks.json is the test of both.
var hidden = [...][2]rune{ //nolint:gochecknoglobals // a table
	{0x00, 0x1f},
	{0x7f, 0x9f},
	{0xad, 0xad},
	{0x34f, 0x34f},
	{0x61c, 0x61c},
	{0x115f, 0x1160},
	{0x17b4, 0x17b5},
	{0x180b, 0x180f},
	{0x200b, 0x200f},
	{0x2028, 0x202e},
	{0x2060, 0x206f},
	{0x3164, 0x3164},
	{0xfeff, 0xfeff},
	{0xffa0, 0xffa0},
	{0xfff0, 0xfffb},
	{0xfffd, 0xfffd},
	{0x1bca0, 0x1bca3},
	{0x1d173, 0x1d17a},
	{0xe0000, 0xe0fff},
}

func isHidden(r rune) bool {
	for _, span := range hidden {
		if r <= span[1] {
			return r >= span[0]
		}
	}
	return false
}

// Clean shows what a reader would not see: control characters, zero-width marks and
// marks of direction as ⟨U+202E⟩, and broken UTF-8 as ⟨U+FFFD⟩. Text from outside
// can so not move the cursor, change colours, start a new line, or be read as
// another text than it is.
func Clean(s string) string {
	clean := true
	for _, r := range s {
		clean = clean && !isHidden(r)
	}
	if clean {
		return s
	}
	var b strings.Builder
	for _, r := range s { // broken bytes come as utf8.RuneError, which is U+FFFD
		if isHidden(r) {
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// CleanLines is Clean for a text of several lines of our own, such as one that marks a place
// in the line above: its ends of lines stay.
func CleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = Clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

// FirstLine is the first line of a text for where there is room for one, with a mark where
// more follows.
func FirstLine(s string) string {
	first, _, more := strings.Cut(strings.TrimSpace(s), "\n")
	if more {
		return first + " …"
	}
	return first
}
