package logsql

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"
)

// time reads the filter behind "time:". The engine reads what stands in it; a time
// that is relative to now means, for events as they come, from then on.
func (p *parser) time() *SyntaxError {
	first := p.peek(inValue)
	if first.is("*") {
		p.at = first.end
		p.out.raw(matchAll)
		return nil
	}
	if first.is("!") {
		p.at = first.end
		p.out.raw("!")
		first = p.peek(inValue)
	}
	if first.is("[") || first.is("(") || first.keyword("day_range", "week_range") {
		return p.timeRange(first)
	}
	op := ""
	if slices.Contains([]string{">", ">=", "<", "<=", "="}, first.text) && first.kind == tokSign {
		op = first.text
		p.at = first.end
	}
	t := p.take(inValue)
	if t.kind != tokWord && t.kind != tokString || !isTimeText(t.text) {
		return faultAt(t.pos, "time is a time: write it as 2026-01-31T12:00:00Z, or 5m for the last five minutes")
	}
	offset := p.timeOffset()
	d, relative := logstorage.TryParseDuration(t.text)
	if !relative || startsWithYear(t.text) || offset != "" {
		p.out.raw("_time:", op, inReach(t.text), offset)
		return nil
	}
	edge := time.Now().Add(-max(time.Duration(d), -time.Duration(d))).UTC().Format(time.RFC3339Nano)
	live := "_time:>=" + edge
	if strings.HasPrefix(op, ">") {
		live = "_time:<" + edge
	}
	p.out.differing("_time:"+op+t.text, live)
	return nil
}

// timeRange copies [a,b], (a,b), day_range[…) and week_range[…).
func (p *parser) timeRange(first token) *SyntaxError {
	var text strings.Builder
	var bounds []token
	for {
		t := p.take(inValue)
		switch {
		case t.kind == tokWord && isTimeText(t.text), t.kind == tokString && isTimeText(t.text),
			t.is("["), t.is("("), t.is(","), t.is(")"), t.is("]"):
			text.WriteString(inReach(t.text))
		default:
			return faultAt(t.pos, "%s is not expected here: write time:[2026-01-31T12:00:00Z, 2026-01-31T13:00:00Z]", t.describe())
		}
		if t.kind != tokSign && t.pos > first.pos {
			bounds = append(bounds, t)
		}
		if (t.is(")") || t.is("]")) && t.pos > first.pos {
			text.WriteString(p.timeOffset())
			p.out.raw("_time:", text.String())
			return checkTimes(text.String(), bounds, first.pos)
		}
	}
}

// timeOffset reads "offset 1h", which may follow a time.
func (p *parser) timeOffset() string {
	t := p.peek(inValue)
	if !t.keyword("offset") {
		return ""
	}
	d := p.after(t, inValue)
	if d.kind != tokWord || !isTimeText(d.text) {
		return ""
	}
	p.at = d.end
	return " offset " + d.text
}

func isTimeText(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_+-:.µ") == ""
}

func startsWithYear(s string) bool {
	return len(s) >= 4 && strings.Trim(s[:4], "0123456789") == "" && (len(s) == 4 || strings.IndexByte("-+Zz", s[4]) >= 0)
}

// The years that the engine's nanoseconds can tell, from the first that rows have.
const (
	firstYear = "1970"
	lastYear  = "2261"
)

// inReach is a time that the engine reads as it stands: of one too far away it makes
// another, so that all would be later than the year 9999.
func inReach(s string) string {
	switch {
	case !startsWithYear(s):
		return s
	case s[:4] < firstYear:
		return firstYear + "-01-01T00:00:00Z"
	case s[:4] > lastYear:
		return lastYear + "-12-31T23:59:59Z"
	}
	return s
}

// emitMoment compares a field that is a time with one, or with the beginning of one.
func (p *parser) emitMoment(tg target, s string, pos int) *SyntaxError {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		text := t.UTC().Format(time.RFC3339Nano)
		if tg.kind == targetList {
			p.each(tg, elementIn([]string{text}))
		} else {
			p.each(tg, "="+quote(text))
		}
		return nil
	}
	if !startsWithYear(s) {
		return faultAt(pos, "%s is a time: write it as 2026-01-31T12:00:00Z", tg.label())
	}
	if tg.kind == targetList {
		p.each(tg, "~"+quote(`[\[,]"`+regexp.QuoteMeta(s)))
		return nil
	}
	p.each(tg, "="+quote(s)+"*")
	return nil
}

// emitTimeOrdered compares times that are stored as text: 12:00:00Z, 12:00:00.5Z and
// 12:00:00.51Z do not stand in their order as bytes, which the filters make good.
func (p *parser) emitTimeOrdered(tg target, op, s string, pos int) *SyntaxError {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return faultAt(pos, "%s is a time: write it as 2026-01-31T12:00:00Z", tg.label())
	}
	if tg.kind == targetList {
		p.each(tg, "~"+quote(`"(?:`+timePattern(op, t)+`)"`))
		return nil
	}
	text := t.UTC().Format(time.RFC3339Nano)
	second := t.UTC().Format("2006-01-02T15:04:05")
	from := strings.TrimSuffix(text, "Z")
	whole := from == second
	if whole {
		from += "."
	}
	// From "from" on, as bytes, are all that are not earlier, and the whole second.
	not := []string{}
	strict := op == ">" || op == "<="
	if !whole || strict {
		not = append(not, second+"Z")
	}
	if !whole && strict {
		not = append(not, text)
	}
	name := quote(tg.name) + ":"
	var later strings.Builder
	later.WriteString("(" + name + "string_range(" + quote(from) + `,"\uffff")`)
	for _, n := range not {
		later.WriteString(" !" + name + "=" + quote(n))
	}
	later.WriteString(")")
	if op[0] == '<' {
		p.out.raw("(", name, "* !", later.String(), ")")
		return nil
	}
	p.out.raw(later.String())
	return nil
}

// timePattern is a regular expression for times, as RFC 3339 writes them in UTC without
// zeros at the end, that are before or after another. Digits stand in their order, so the
// first that differs decides; of two that begin alike the longer one is later.
func timePattern(op string, t time.Time) string {
	text := strings.TrimSuffix(t.UTC().Format(time.RFC3339Nano), "Z")
	whole, fraction, _ := strings.Cut(text, ".")
	var forms []string
	for i, c := range []byte(text) {
		least, most := c+1, byte('9')
		if op[0] == '<' {
			least, most = '0', c-1
		}
		if c >= '0' && c <= '9' && least <= most {
			forms = append(forms, regexp.QuoteMeta(text[:i])+fmt.Sprintf(`[%c-%c][-0-9:T.]*Z`, least, most))
		}
	}
	switch {
	case op[0] == '>' && fraction == "":
		forms = append(forms, regexp.QuoteMeta(text)+`\.[0-9]+Z`)
	case op[0] == '>':
		forms = append(forms, regexp.QuoteMeta(text)+`[0-9]+Z`)
	case fraction != "":
		forms = append(forms, regexp.QuoteMeta(whole)+"Z")
		for i := 1; i < len(fraction); i++ {
			forms = append(forms, regexp.QuoteMeta(whole+"."+fraction[:i])+"Z")
		}
	}
	if strings.HasSuffix(op, "=") {
		forms = append(forms, regexp.QuoteMeta(text)+"Z")
	}
	return strings.Join(forms, "|")
}
