package agent

import (
	"bufio"
	"io"
	"strconv"
	"strings"
)

// programAfter is how many looks of a watcher after its start an agent gives back the pages
// of the program that only starting needed: connections stand by then.
const programAfter = 4

// span is a stretch of addresses.
type span struct{ from, to uintptr }

// programSpans reads /proc/PID/smaps (proc_pid_smaps(5)) for where a file is mapped and
// nothing of it can be or was changed: each page there is as in the file, and can be had
// from there again. What was relocated when the program was loaded is read-only too, and is
// left out, as those pages are in no file.
func programSpans(smaps io.Reader, file string) (spans []span) {
	var at span
	unchanged := func(value string) bool { return strings.TrimSpace(value) == "0 kB" }
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		line := lines.Text()
		name, value, isField := strings.Cut(line, ": ")
		switch {
		case !isField || strings.Contains(name, " "):
			at = spanOf(line, file)
		case at.to == 0:
		case name == "Private_Dirty" && !unchanged(value):
			at = span{}
		case name == "Anonymous": // behind Private_Dirty
			if unchanged(value) {
				spans = append(spans, at)
			}
			at = span{}
		}
	}
	return spans
}

// spanOf reads the first line of a mapping; it is zero unless that is of the file, and
// read-only.
func spanOf(line, file string) span {
	f := strings.Fields(line)
	if len(f) < 6 || f[5] != file || len(f[1]) < 2 || f[1][0] != 'r' || f[1][1] != '-' {
		return span{}
	}
	low, high, _ := strings.Cut(f[0], "-")
	from, fromErr := strconv.ParseUint(low, 16, strconv.IntSize)
	to, toErr := strconv.ParseUint(high, 16, strconv.IntSize)
	if fromErr != nil || toErr != nil || to <= from {
		return span{}
	}
	return span{uintptr(from), uintptr(to)}
}
