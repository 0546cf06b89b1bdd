package module

import (
	"encoding/hex"
	"fmt"
	"math"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/amoskys/amoskys/internal/snmp"
)

// maxText bounds a text that a device gives, in bytes.
const maxText = 4096

// Value is what a column says in one row.
type Value struct {
	// Known is false where the device has no such value.
	Known bool
	// Uint is the number as it came; a negative one is in two's complement.
	Uint uint64
	// Float is the number times the column's scale.
	Float float64
	// Text is the text, the name that the enumeration has for the number, or else the
	// number in digits.
	Text string
}

// read makes a value of a variable, as its column says. A variable of an unlike type,
// such as a text where a number was due, is unknown, unless it can be read as one.
func (c *Column) read(v snmp.Variable) Value {
	switch c.Type {
	case Text:
		return textValue(v)
	case Number:
		return c.written(v)
	case Octets, MAC, Address, Bits, Date:
		return c.octets(v)
	case Object:
		text, ok := v.Value.(string)
		return Value{Known: ok && text != "", Text: strings.TrimPrefix(text, ".")}
	default:
		return c.number(v)
	}
}

// textValue reads a text; numbers are given in digits.
func textValue(v snmp.Variable) Value {
	switch value := v.Value.(type) {
	case []byte:
		text := plain(value)
		return Value{Known: true, Text: text}
	case string:
		return Value{Known: value != "", Text: strings.TrimPrefix(value, ".")}
	default:
		if u, ok := whole(v); ok {
			return Value{Known: true, Uint: u, Float: float64(u), Text: digits(v, u)}
		}
		return Value{}
	}
}

func (c *Column) number(v snmp.Variable) Value {
	if f, isFloat := v.Value.(float64); isFloat && !math.IsNaN(f) && !math.IsInf(f, 0) {
		return c.finish(Value{Known: true, Float: f, Uint: uint64(max(f, 0)), Text: strconv.FormatFloat(f, 'g', -1, 64)})
	}
	u, ok := whole(v)
	if !ok {
		if _, isText := v.Value.([]byte); isText {
			return c.written(v)
		}
		return Value{}
	}
	value := Value{Known: true, Uint: u, Float: float64(u), Text: digits(v, u)}
	if signed, isSigned := v.Value.(int64); isSigned {
		value.Float = float64(signed)
	}
	return c.finish(value)
}

// finish applies scale and enumeration.
func (c *Column) finish(value Value) Value {
	if name, ok := c.Enum[value.Text]; ok {
		value.Text = name
	}
	if c.Scale != 0 {
		value.Float *= c.Scale
	}
	return value
}

// leadingNumber finds the first number in a text, such as "-4.5" in "T: -4.5 C".
var leadingNumber = regexp.MustCompile(`[-+]?[0-9]+(?:\.[0-9]+)?`)

// written reads a number from a text.
func (c *Column) written(v snmp.Variable) Value {
	value := textValue(v)
	if !value.Known {
		return value
	}
	found := c.extract(value.Text)
	number, err := strconv.ParseFloat(found, 64)
	if err != nil || math.IsInf(number, 0) {
		return Value{}
	}
	value.Float = number
	if number >= 0 && number < math.MaxUint64 {
		value.Uint = uint64(number)
	}
	return c.finish(value)
}

// extract takes the number out of a text.
func (c *Column) extract(text string) string {
	if c.match == nil {
		return leadingNumber.FindString(text)
	}
	groups := c.match.FindStringSubmatch(text)
	if len(groups) > 1 {
		return groups[1]
	}
	return strings.Join(groups, "")
}

// octets reads addresses, bits and dates.
func (c *Column) octets(v snmp.Variable) Value {
	if text, ok := v.Value.(string); ok && c.Type == Address {
		addr, err := netip.ParseAddr(text)
		return Value{Known: err == nil, Text: text, Float: 0, Uint: 0}.withAddress(addr, err)
	}
	b, ok := v.Value.([]byte)
	if !ok || len(b) > maxText {
		return Value{}
	}
	switch c.Type {
	case MAC:
		return Value{Known: len(b) == 6 || len(b) == 8, Text: net.HardwareAddr(b).String()}
	case Address:
		return Value{Known: len(b) == 4 || len(b) == 16 || len(b) == 8 || len(b) == 20, Text: addressText(b)}
	case Bits:
		return Value{Known: true, Text: c.bits(b)}
	case Date:
		text := dateText(b)
		return Value{Known: text != "", Text: text}
	default:
		return Value{Known: true, Text: hex.EncodeToString(b)}
	}
}

func (v Value) withAddress(addr netip.Addr, err error) Value {
	if err == nil {
		v.Text = addr.Unmap().String()
	}
	return v
}

// bits names the bits that are set, the first bit being the highest of the first octet
// (RFC 2578, section 7.1.4).
func (c *Column) bits(b []byte) string {
	var names []string
	for i := range min(8*len(b), 256) {
		if b[i/8]&(0x80>>(i%8)) == 0 {
			continue
		}
		name := strconv.Itoa(i)
		if named, ok := c.Enum[name]; ok {
			name = named
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// dateText writes DateAndTime (RFC 2579) as RFC 3339 does, without its zone.
func dateText(b []byte) string {
	if len(b) != 8 && len(b) != 11 {
		return ""
	}
	return fmt.Sprintf("%04d-%02d-%02dT%02d:%02d:%02d", int(b[0])<<8|int(b[1]), b[2], b[3], b[4], b[5], b[6])
}

// whole is the number of a variable.
func whole(v snmp.Variable) (uint64, bool) {
	switch n := v.Value.(type) {
	case int64:
		return uint64(n), true
	case uint64:
		return n, true
	default:
		return 0, false
	}
}

func digits(v snmp.Variable, u uint64) string {
	if n, ok := v.Value.(int64); ok {
		return strconv.FormatInt(n, 10)
	}
	return strconv.FormatUint(u, 10)
}

// plain makes a text of octets that people can read: without NUL, control characters
// and space around it. Octets that are no UTF-8 are read as ISO 8859-1, which is what
// devices of before UTF-8 send.
func plain(b []byte) string {
	b = b[:min(len(b), maxText)]
	text := string(b)
	if !utf8.ValidString(text) {
		runes := make([]rune, len(b))
		for i, octet := range b {
			runes[i] = rune(octet)
		}
		text = string(runes)
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case r == 0 || unicode.IsControl(r):
			return -1
		default:
			return r
		}
	}, text)
	return strings.TrimSpace(text)
}

// TextOf is a variable as text for people: octets that are text as text, others in
// hexadecimal; "" where there is no value.
func TextOf(v snmp.Variable) string {
	value := textValue(v)
	return value.Text
}
