package logsql

import (
	"errors"
	"strings"
	"testing"
)

// TestRangesThatHoldNothing: what can find nothing, by the way it is written, is a fault
// that says where and what to write, and what looks alike and can find something is none.
func TestRangesThatHoldNothing(t *testing.T) {
	for _, c := range []struct {
		query   string
		pos     int
		message string // empty: it is good
	}{
		{"source.ip:10.0.0.0/33", 10, `"10.0.0.0/33" is no network: write an address, a slash and its bits`},
		{"source.ip:10.0.0/8", 10, `"10.0.0/8" is no network`},
		{"source.ip:=10.0.0.0/08", 11, `"10.0.0.0/08" is no network`},
		{"source.ip:2001:db8::/129", 10, `"2001:db8::/129" is no network`},
		{"host.ip:300.0.0.0/8", 8, `"300.0.0.0/8" is no network`},
		{"-source.ip:(10.0.0.0/8 or 10.0.0.0/-1)", 26, `"10.0.0.0/-1" is no network`},
		{"source.ip:in(10.0.0.0/8, 10.0.0.0/99)", 25, `"10.0.0.0/99" is no network`},
		{"host.ip:in(192.0.2.1, 10.0.0.0/99)", 22, `"10.0.0.0/99" is no network`},
		{`{host="a"} destination.ip:"1.2.3.4/"`, 26, `"1.2.3.4/" is no network`},
		{"source.ip:10.0.0.1/8", 0, ""}, // its host bits do not count
		{"source.ip:2001:db8::/32", 0, ""},
		{"process.executable:/usr/bin", 0, ""},
		{"process.command_line:10.0.0.0/33", 0, ""},
		{"10.0.0.0/33", 0, ""},
		{"source.ip:10.0.0", 0, ""},

		{"source.ip:ipv4_range(10.0.0.9, 10.0.0.1)", 21, "nothing lies in ipv4_range from 10.0.0.9 to 10.0.0.1"},
		{"source.ip:ipv6_range('2001:db8::9', '2001:db8::1')", 21, "nothing lies in ipv6_range"},
		{"source.ip:ipv4_range('2001:db8::/32')", 21, `"2001:db8::/32" is no network of IPv4`},
		{"source.ip:ipv4_range(10.0.0.0/40)", 21, `"10.0.0.0/40" is no network`},
		{"source.ip:ipv4_range(10.0.0.1, x)", 31, `"x" is no address`},
		{"source.ip:ipv4_range(10.0.0.1, 10.0.0.1)", 0, ""},
		{"source.ip:ipv4_range(10.0.0.1)", 0, ""},
		{"source.ip:ipv6_range(10.0.0.1, '2001:db8::1')", 0, ""}, // as the engine has it, IPv4 is part of IPv6

		{"pid:range[200, 100]", 10, "nothing lies in range from 200 to 100: the first bound is the larger one"},
		{"pid:range(5, 5)", 10, "nothing lies in range from 5 to 5 without its bounds: write range[5,5]"},
		{"rss:range[1GiB, 1MB]", 10, "nothing lies in range from 1GiB to 1MB"},
		{"snmp.uptime:range[2h, 60s]", 18, "nothing lies in range from 2h to 60s"},
		{"snmp.uptime:range[2m, 200]", 0, ""}, // 200 are seconds
		{"* | count() n | filter n:range[9,1]", 31, "nothing lies in range from 9 to 1"},
		{"pid:range[5, 5]", 0, ""},
		{"cpu:range[-2, -1]", 0, ""},
		{"process.name:len_range(5, 2)", 23, "nothing lies in len_range from 5 to 2"},
		{"process.name:len_range(5, inf)", 0, ""},
		{"process.name:string_range(b, a)", 26, `nothing lies in string_range from "b" to "a"`},
		{"process.name:string_range(a, b)", 0, ""},

		{"time:[2026-02-01, 2026-01-31]", 5, "nothing lies in time from 2026-02-01 to 2026-01-31"},
		{"time:(2026-02-01T00:00:00Z, 2026-01-31T00:00:00Z)", 5, "nothing lies in time"},
		{"time:[2026-01-31, 2026-02-01) host:a", 0, ""},
		{"time:[2026-01, 2026-01]", 0, ""},
		{"time:day_range[22:00, 06:00]", 5, "nothing lies in day_range from 22:00 to 06:00: the first bound is the larger one, so turn them round, or write (time:day_range[22:00,24:00] or time:day_range[00:00,06:00])"},
		{"time:day_range[08:00, 18:00)", 0, ""},
		{"time:week_range[Fri, Mon]", 5, "nothing lies in week_range from Fri to Mon"},
		{"time:week_range[Mon, Friday]", 0, ""},
		{"time:week_range[Sun, Sat]", 0, ""},
	} {
		_, err := Parse(c.query)
		if c.message == "" {
			if err != nil {
				t.Errorf("%s: %v", c.query, err)
			}
			continue
		}
		fault, ok := errors.AsType[*SyntaxError](err)
		if !ok {
			t.Errorf("%s: no syntax error but %v", c.query, err)
			continue
		}
		if fault.Position != c.pos || !strings.HasPrefix(fault.Error(), c.message) {
			t.Errorf("%s:\ngot  %d %s\nwant %d %s", c.query, fault.Position, fault, c.pos, c.message)
		}
	}
}
