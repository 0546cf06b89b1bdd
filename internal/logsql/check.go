package logsql

import (
	"strings"
)

// engineFault words an error of the engine's parser, and finds where in the query the
// part stands that it did not take.
func (p *parser) engineFault(err error) *SyntaxError {
	text := err.Error()
	out := p.out.engine.String()
	at := len(out)
	// The innermost context comes first: the end of what had been read.
	if _, rest, ok := strings.Cut(text, "; context: ["); ok {
		if read, _, ok := strings.Cut(rest, "]; "); ok || strings.HasSuffix(rest, "]") {
			read = strings.TrimSuffix(read, "]")
			if i := strings.LastIndex(out, read); i >= 0 {
				at = i + len(read)
			}
		}
	}
	text, _, _ = strings.Cut(text, "; context: [")
	text, _, _ = strings.Cut(text, "; see http")
	pos := 0
	for _, m := range p.out.marks {
		if m.out < at {
			pos = m.in
		}
	}
	return faultAt(min(pos, len(p.text)), "this is not LogsQL: %s", text)
}
