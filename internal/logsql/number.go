package logsql

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/event"
)

// unit is a suffix of numbers.
type unit struct {
	suffix string
	factor float64
}

func sizes() []unit {
	return []unit{
		{"KiB", 1 << 10},
		{"MiB", 1 << 20},
		{"GiB", 1 << 30},
		{"TiB", 1 << 40},
		{"KB", 1e3},
		{"MB", 1e6},
		{"GB", 1e9},
		{"TB", 1e12},
		{"B", 1},
		{"%", 1},
	}
}

func spans() []unit {
	return []unit{{"ns", 1e-9}, {"us", 1e-6}, {"µs", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {"w", 7 * 86400}}
}

// number reads a number with an optional unit and returns it as it is stored: spans of
// time in seconds, or in nanoseconds for a field that is a duration.
func (t target) number(s string, pos int) (string, *SyntaxError) {
	scale := 1.0
	if t.field != nil && t.field.Type == event.FieldDuration && t.kind == targetField {
		scale = 1e9
	}
	if scale == 1 {
		if n, err := strconv.ParseInt(s, 0, 64); err == nil {
			return strconv.FormatInt(n, 10), nil
		}
		if n, err := strconv.ParseUint(s, 0, 64); err == nil {
			return strconv.FormatUint(n, 10), nil
		}
	}
	x, err := strconv.ParseFloat(s, 64)
	for _, u := range slices.Concat(sizes(), spans()) {
		if err == nil {
			break
		}
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			if x, err = strconv.ParseFloat(rest, 64); err == nil {
				x *= u.factor
			}
		}
	}
	if err != nil {
		var d time.Duration
		if d, err = time.ParseDuration(s); err == nil {
			x = d.Seconds()
		}
	}
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		return "", faultAt(pos, "%s is a number: %q is none (units KB MB GB KiB MiB GiB ms s m h d are known)", t.label(), s)
	}
	if x *= scale; scale != 1 {
		x = math.Round(x)
	}
	if t.kind == targetField {
		// A row keeps so many digits of a decimal.
		x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'e', 14, 64), 64)
	}
	return decimal(x), nil
}

// decimal is the shortest form, as package event writes numbers.
func decimal(x float64) string {
	if size := math.Abs(x); size != 0 && (size < 1e-6 || size >= 1e21) {
		return strconv.FormatFloat(x, 'e', -1, 64)
	}
	return strconv.FormatFloat(x, 'f', -1, 64)
}

// emitOrdered is > >= < <=.
func (p *parser) emitOrdered(tg target, op, s string, opPos, pos int) *SyntaxError {
	f := tg.field
	switch {
	case tg.kind == targetComputed:
		p.each(tg, op+quote(s))
	case tg.kind == targetMap, f.Type == event.FieldBool:
		return faultAt(opPos, "%s has no %s", tg.label(), op)
	case tg.kind == targetEntry:
		n, err := tg.number(s, pos)
		if err != nil {
			return err
		}
		p.each(tg, "~"+quote(quoteMeta(entryStart(tg.key))+numberPattern(op, n)+`"`))
	case isEnum(f):
		return p.emitRanked(tg, op, s, pos)
	case f.Type == event.FieldTime:
		return p.emitTimeOrdered(tg, op, s, pos)
	case f.Type == event.FieldNumber || f.Type == event.FieldDuration:
		n, err := tg.number(s, pos)
		if err != nil {
			return err
		}
		if tg.kind == targetList {
			p.each(tg, "~"+quote(`[\[,]`+numberPattern(op, n)+`[,\]]`))
			break
		}
		p.each(tg, op+n)
	case tg.kind == targetList:
		return faultAt(opPos, "%s holds several texts, which have no %s", tg.label(), op)
	default:
		p.each(tg, op+quote(s))
	}
	return nil
}

// emitRanked compares values of an enumeration in their order.
func (p *parser) emitRanked(tg target, op, s string, pos int) *SyntaxError {
	values := tg.field.Values
	rank := slices.Index(values, strings.ToLower(s))
	if rank < 0 {
		return faultAt(pos, "%s is one of %s", tg.label(), oneOf(values))
	}
	switch op {
	case ">":
		values = values[rank+1:]
	case ">=":
		values = values[rank:]
	case "<":
		values = values[:rank]
	case "<=":
		values = values[:rank+1]
	}
	if tg.kind == targetList && len(values) > 0 {
		p.each(tg, elementIn(values))
		return nil
	}
	p.each(tg, "in("+quoteAll(values)+")")
	return nil
}

// numberPattern is a regular expression for the decimals that compare so with n, which
// is one too. Decimals stand in their shortest form; those of 1e21 and more, or below
// 1e-6, are not told apart.
func numberPattern(op, n string) string {
	alts := []string{}
	if strings.HasSuffix(op, "=") {
		alts = append(alts, quoteMeta(n))
	}
	more, less := ">", "<"
	size, negative := strings.CutPrefix(n, "-")
	if x, err := strconv.ParseFloat(size, 64); err == nil {
		size = strconv.FormatFloat(x, 'f', -1, 64)
	}
	if negative {
		more, less = less, more
	}
	whole, fraction, _ := strings.Cut(size, ".")
	sign := map[bool]string{true: "-"}[negative]
	switch op[:1] {
	case more:
		for _, a := range largerThan(whole, fraction) {
			alts = append(alts, sign+a)
		}
		alts = append(alts, sign+`\d(?:\.\d+)?e\+\d+`) // all of more digits
	case less:
		for _, a := range smallerThan(whole, fraction) {
			alts = append(alts, sign+a)
		}
	}
	if op[:1] == ">" && negative {
		alts = append(alts, `\d[\d.e+-]*`)
	}
	if op[:1] == "<" && !negative {
		alts = append(alts, `-\d[\d.e+-]*`)
	}
	return "(?:" + strings.Join(alts, "|") + ")"
}

const anyFraction = `(?:\.\d+)?`

func largerThan(whole, fraction string) []string {
	alts := []string{fmt.Sprintf(`[1-9]\d{%d,}%s`, len(whole), anyFraction)}
	for i := range len(whole) {
		if c := whole[i]; c < '9' {
			alts = append(alts, fmt.Sprintf(`%s[%c-9]\d{%d}%s`, whole[:i], c+1, len(whole)-i-1, anyFraction))
		}
	}
	for i := range len(fraction) {
		if c := fraction[i]; c < '9' {
			alts = append(alts, fmt.Sprintf(`%s\.%s[%c-9]\d*`, whole, fraction[:i], c+1))
		}
	}
	if whole == "0" && fraction == "" {
		alts = append(alts, `\d`+anyFraction+`e-\d+`)
	}
	return append(alts, whole+`\.`+fraction+`\d+`)
}

func smallerThan(whole, fraction string) []string {
	var alts []string
	if len(whole) > 1 {
		alts = append(alts, `0`+anyFraction, fmt.Sprintf(`[1-9]\d{0,%d}%s`, len(whole)-2, anyFraction))
	}
	for i := range len(whole) {
		low := byte('0')
		if i == 0 && len(whole) > 1 {
			low = '1'
		}
		if c := whole[i]; c > low {
			alts = append(alts, fmt.Sprintf(`%s[%c-%c]\d{%d}%s`, whole[:i], low, c-1, len(whole)-i-1, anyFraction))
		}
	}
	if fraction != "" {
		alts = append(alts, whole)
	}
	for i := range len(fraction) {
		if c := fraction[i]; c > '0' {
			alts = append(alts, fmt.Sprintf(`%s\.%s[0-%c]\d*`, whole, fraction[:i], c-1))
		}
		if i > 0 {
			alts = append(alts, whole+`\.`+fraction[:i])
		}
	}
	if whole != "0" || fraction != "" {
		alts = append(alts, `\d`+anyFraction+`e-\d+`)
	}
	return alts
}
