package logsql

import (
	"cmp"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"

	"github.com/amoskys/amoskys/internal/event"
)

// A range whose end lies before its beginning, or a network that is none, finds nothing.
// The engine takes both without a word, so that a slip of the pen looks like an answer:
// here they are faults.

// emptyRange is the fault of a range that no value lies in; nil where some may. order
// compares the bounds, and open says that one of them does not belong to the range.
func emptyRange(pos int, name, from, to string, order int, open bool) *SyntaxError {
	switch {
	case order > 0:
		return faultAt(pos, "nothing lies in %s from %s to %s: the first bound is the larger one, so turn them round", name, from, to)
	case order == 0 && open:
		return faultAt(pos, "nothing lies in %s from %s to %s without its bounds: write %s[%s,%s]", name, from, to, name, from, to)
	}
	return nil
}

// checkNumbers is for bounds that are numbers, said as they were written. Of those that
// are none, NaN, the engine says so itself.
func checkNumbers(pos int, name string, said [2]string, numbers [2]float64, open bool) *SyntaxError {
	if math.IsNaN(numbers[0]) || math.IsNaN(numbers[1]) {
		return nil
	}
	return emptyRange(pos, name, said[0], said[1], cmp.Compare(numbers[0], numbers[1]), open)
}

// engineNumber is a number as the engine reads those of range(…): with units, too. NaN
// is none that is known here.
func engineNumber(s string) float64 {
	if x, err := strconv.ParseFloat(s, 64); err == nil {
		return x
	}
	if n, err := strconv.ParseInt(s, 0, 64); err == nil {
		return float64(n)
	}
	if n, ok := logstorage.TryParseDuration(s); ok {
		return float64(n)
	}
	for _, u := range sizes() {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			if x, err := strconv.ParseFloat(rest, 64); err == nil {
				return x * u.factor
			}
		}
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
		b := a.As4()
		return float64(uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]))
	}
	return math.NaN()
}

// checkPlain looks at the functions with two bounds that are passed on as they are.
func checkPlain(c call, list []arg) *SyntaxError {
	if len(list) != 2 {
		return nil // the engine says what it takes
	}
	from, to := list[0].text, list[1].text
	switch c.name {
	case "len_range":
		return checkNumbers(list[0].pos, c.name, [2]string{from, to}, [2]float64{engineNumber(from), engineNumber(to)}, false)
	case "string_range": // its end does not belong to it
		return emptyRange(list[0].pos, c.name, strconv.Quote(from), strconv.Quote(to), strings.Compare(from, to), true)
	}
	return nil
}

// checkAddresses looks at the bounds, or the network, of ipv4_range and ipv6_range.
func checkAddresses(c call, list []arg) *SyntaxError {
	var bounds []netip.Addr
	for _, a := range list {
		if prefix, err := netip.ParsePrefix(a.text); err == nil && len(list) == 1 {
			if c.name == "ipv4_range" && !prefix.Addr().Is4() {
				return faultAt(a.pos, "%q is no network of IPv4: write ipv6_range(…)", a.text)
			}
			return nil
		}
		at, err := netip.ParseAddr(a.text)
		switch {
		case err != nil && len(list) == 1:
			return noNetwork(a)
		case err != nil:
			return faultAt(a.pos, "%q is no address", a.text)
		case c.name == "ipv4_range" && !at.Is4():
			return faultAt(a.pos, "%q is no address of IPv4: write ipv6_range(…)", a.text)
		}
		bounds = append(bounds, netip.AddrFrom16(at.As16()))
	}
	if len(bounds) != 2 {
		return nil // the engine says what it takes
	}
	return emptyRange(list[0].pos, c.name, list[0].text, list[1].text, bounds[0].Compare(bounds[1]), false)
}

func noNetwork(a arg) *SyntaxError {
	return faultAt(a.pos, "%q is no network: write an address, a slash and its bits, such as 192.0.2.0/24 or 2001:db8::/32", a.text)
}

// holdsAddresses reports whether the target's values are addresses, in which no slash
// stands but behind a network.
func (t target) holdsAddresses() bool {
	if t.field == nil || t.field.Type != event.FieldKeyword || t.kind != targetField && t.kind != targetList {
		return false
	}
	_, last, _ := strings.Cut(t.field.Name, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	return last == "ip" || last == "src_ip" || last == "dst_ip"
}

// checkNetwork is the fault of a value that is to be a network and is none.
func (t target) checkNetwork(s string, pos int) *SyntaxError {
	if !strings.Contains(s, "/") || !t.holdsAddresses() {
		return nil
	}
	if _, err := netip.ParsePrefix(s); err != nil {
		return noNetwork(arg{text: s, pos: pos})
	}
	return nil
}

// checkTimes looks at "[a,b]", "(a,b)", "day_range[a,b]" or "week_range[a,b]", which
// text is, by what the engine makes of it. Of what it does not take it says so itself.
func checkTimes(text string, bounds []token, pos int) *SyntaxError {
	if len(bounds) != 2 {
		return nil
	}
	from, to := bounds[0].text, bounds[1].text
	open := strings.Contains(text, "(") || strings.Contains(text, ")")
	switch {
	case strings.HasPrefix(strings.ToLower(text), "day_range"):
		if err := emptyRange(pos, "day_range", from, to, strings.Compare(from, to), open); err != nil {
			if from > to { // people mean the night
				err.Message += ", or write (time:day_range[" + from + ",24:00] or time:day_range[00:00," + to + "])"
			}
			return err
		}
	case strings.HasPrefix(strings.ToLower(text), "week_range"):
		first, last := weekday(from), weekday(to)
		if first < 0 || last < 0 {
			return nil
		}
		if strings.Contains(text, "(") {
			first++
		}
		if strings.Contains(text, ")") {
			last--
		}
		if first > last {
			return faultAt(pos, "nothing lies in week_range from %s to %s: weeks begin with Sunday, so write (time:week_range[%s,Sat] or time:week_range[Sun,%s])", from, to, from, to)
		}
	default:
		q, err := logstorage.ParseQuery("_time:" + text)
		if err != nil {
			return nil //nolint:nilerr // Parse has the engine say it, with its place
		}
		if first, last := q.GetFilterTimeRange(); first > last {
			return emptyRange(pos, "time", from, to, 1, open)
		}
	}
	return nil
}

// weekday is a day by its name in English or the first three letters of it, from 0 for
// Sunday; negative for what is none.
func weekday(s string) int {
	s = strings.ToLower(s)
	for i, name := range []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"} {
		if s == name || s == name[:3] {
			return i
		}
	}
	return -1
}
