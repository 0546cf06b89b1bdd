package snmp

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/snmp/ber"
)

// ParseOID checks an OID in numbers and returns it as this package writes them:
// without a leading dot and without leading zeros. Numbers go up to 2^32-1 (RFC
// 2578, section 3.5); below 1 and 2 there are no names of one number.
func ParseOID(text string) (string, error) {
	var clean strings.Builder
	rest := strings.TrimPrefix(text, ".")
	var first uint64
	arcs := 0
	for more := true; more; arcs++ {
		var part string
		part, rest, more = strings.Cut(rest, ".")
		n, err := strconv.ParseUint(part, 10, 32)
		switch {
		case errors.Is(err, strconv.ErrRange):
			return "", fmt.Errorf("OID %.80q: %.20s is above %d, the largest number that may be in one", text, part, uint32(math.MaxUint32))
		case err != nil || part[0] == '+':
			return "", fmt.Errorf("OID %.80q: write numbers with dots between them, such as 1.3.6.1.2.1.1", text)
		case arcs == 0:
			first = n
		case arcs == ber.MaxArcs:
			return "", fmt.Errorf("OID %.80q… has more than %d numbers", text, ber.MaxArcs)
		}
		if arcs == 0 && n > 2 || arcs == 1 && n >= 40 {
			return "", fmt.Errorf("OID %.80q: no name begins with %d.%d; those of SNMP begin with 1.3.6.1", text, first, n)
		}
		if arcs > 0 {
			clean.WriteByte('.')
		}
		clean.WriteString(strconv.FormatUint(n, 10))
	}
	if arcs < 2 {
		return "", fmt.Errorf("OID %.80q: it takes two numbers at least; 1.3.6.1 holds all of SNMP", text)
	}
	return clean.String(), nil
}

// CompareOIDs orders OIDs as a device does: number by number, a shorter one before
// those below it. Both have the form that ParseOID gives.
func CompareOIDs(a, b string) int {
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		var x, y uint64
		x, i = arc(a, i)
		y, j = arc(b, j)
		if x != y {
			if x < y {
				return -1
			}
			return 1
		}
	}
	switch {
	case i < len(a):
		return 1
	case j < len(b):
		return -1
	default:
		return 0
	}
}

// arc reads the number at i and returns where the next one begins.
func arc(oid string, i int) (uint64, int) {
	var n uint64
	for ; i < len(oid) && oid[i] != '.'; i++ {
		n = n*10 + uint64(oid[i]-'0')
	}
	return n, i + 1
}

// Index returns what follows root in oid, such as "3" for 1.3.6.1.2.1.2.2.1.2.3
// below 1.3.6.1.2.1.2.2.1.2, and whether oid is below root at all.
func Index(root, oid string) (string, bool) {
	if len(oid) <= len(root)+1 || oid[len(root)] != '.' || oid[:len(root)] != root {
		return "", false
	}
	return oid[len(root)+1:], true
}

// Arcs reads the numbers of an index or OID, and reports false if it is none.
func Arcs(index string) ([]uint32, bool) {
	if index == "" {
		return nil, false
	}
	parts := strings.Split(index, ".")
	if len(parts) > ber.MaxArcs {
		return nil, false
	}
	arcs := make([]uint32, len(parts))
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 32)
		if err != nil {
			return nil, false
		}
		arcs[i] = uint32(n)
	}
	return arcs, true
}
