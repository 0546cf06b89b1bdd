package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Validator is implemented by configurations that have rules beyond types.
type Validator interface {
	// Validate reports every broken rule to v, by the path of its key.
	Validate(v *Check)
}

// Check gathers the faults a Validator finds. Keys are paths as in
// "capture.interface"; the loader adds file and line.
type Check struct {
	prefix string
	found  *[]Fault
}

// NewCheck returns an empty Check, for a Validate that is called on its own.
func NewCheck() *Check { return &Check{found: new([]Fault)} }

// Under returns a Check that writes to the same list with prefix before its
// keys, for validating a part that does not know where it is mounted.
func (v *Check) Under(prefix string) *Check {
	return &Check{prefix: v.prefix + prefix + ".", found: v.found}
}

// Faults returns what was found so far, in the order of the calls.
func (v *Check) Faults() Faults { return Faults(*v.found) }

// Add reports a fault at key. The message says what would be right, and never
// holds a secret.
func (v *Check) Add(key, format string, args ...any) {
	*v.found = append(*v.found, Fault{Key: v.prefix + key, Message: fmt.Sprintf(format, args...)})
}

// OneOf reports value unless it is among valid.
func (v *Check) OneOf(key, value string, valid ...string) {
	if slices.Contains(valid, value) {
		return
	}
	message := fmt.Sprintf("%q is not known", value)
	if near := Nearest(value, valid); near != "" {
		message += fmt.Sprintf(", did you mean %q?", near)
	}
	*v.found = append(*v.found, Fault{Key: v.prefix + key, Message: message, Valid: valid})
}

// Range reports n unless lo ≤ n ≤ hi.
func (v *Check) Range(key string, n, lo, hi int) {
	if n < lo || n > hi {
		v.Add(key, "must be from %d to %d, not %d", lo, hi, n)
	}
}

// RangeFloat reports x unless lo ≤ x ≤ hi; NaN is always reported.
func (v *Check) RangeFloat(key string, x, lo, hi float64) {
	if !(x >= lo && x <= hi) {
		v.Add(key, "must be from %s to %s, not %s", number(lo), number(hi), number(x))
	}
}

func number(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// Port reports n unless it can be listened on or dialled; 0 means a free port
// chosen by the system.
func (v *Check) Port(key string, n int) { v.Range(key, n, 0, 65535) }

// NotEmpty reports a value that is empty or only spaces.
func (v *Check) NotEmpty(key, value string) {
	if strings.TrimSpace(value) == "" {
		v.Add(key, "must not be empty")
	}
}

// Host reports value unless it is an IP address or could be a host name.
func (v *Check) Host(key, value string) {
	if _, err := netip.ParseAddr(strings.Trim(value, "[]")); err == nil {
		return
	}
	if !isHostName(value) {
		v.Add(key, "%q is neither a host name nor an IP address", value)
	}
}

// Prefix reports value unless it is a network such as 192.168.1.0/24.
func (v *Check) Prefix(key, value string) {
	if _, err := netip.ParsePrefix(value); err != nil {
		v.Add(key, "%q is not a network such as 192.168.1.0/24", value)
	}
}

// Name reports value unless it can name an agent or a file: letters, digits,
// '.', '_' and '-', at most 64, not starting with '.' or '-'.
func (v *Check) Name(key, value string) {
	ok := value != "" && len(value) <= 64 && value[0] != '.' && value[0] != '-'
	for _, c := range []byte(value) {
		ok = ok && (isAlphanumeric(c) || c == '.' || c == '_' || c == '-')
	}
	if !ok {
		v.Add(key, "%q is not a name: use up to 64 letters, digits, '.', '_' and '-', not starting with '.' or '-'", value)
	}
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// isHostName follows RFC 1123, and allows '_' because real networks do.
func isHostName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !isAlphanumeric(c) && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}
