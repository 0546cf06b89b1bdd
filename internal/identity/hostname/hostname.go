// Package hostname gives the names of hosts, and of their agents, the one form in
// which they are compared, kept and shown: "VM", " vm " and "vm." are the host
// "vm". It depends on nothing, so that whoever handles a name can use it.
package hostname

import "strings"

// blanks may surround a name; a dot may end one, as in a full DNS name.
const blanks = " \t\r\n\v\f"

// Normal returns the one form of a name: its ASCII letters in lower case, without
// blanks around it and without dots at its end. Other letters stay as they are,
// since no certificate of ours holds them.
func Normal(s string) string { return lower(trim(s)) }

// NormalBytes is Normal for bytes. The result aliases s unless s has capitals.
func NormalBytes(s []byte) []byte {
	s = trim(s)
	for _, c := range s {
		if lowerByte(c) != c {
			return []byte(lower(string(s)))
		}
	}
	return s
}

// Is reports whether s is the name whose Normal form is normal. It allocates
// nothing, for it is asked of each event.
func Is(s []byte, normal string) bool {
	if string(s) == normal {
		return true
	}
	s = trim(s)
	if len(s) != len(normal) {
		return false
	}
	for i, c := range s {
		if lowerByte(c) != normal[i] {
			return false
		}
	}
	return true
}

// Same reports whether a and b are the same name.
func Same(a, b string) bool { return a == b || Normal(a) == Normal(b) }

func trim[T string | []byte](s T) T {
	start, end := 0, len(s)
	for start < end && strings.IndexByte(blanks, s[start]) >= 0 {
		start++
	}
	for start < end && (s[end-1] == '.' || strings.IndexByte(blanks, s[end-1]) >= 0) {
		end--
	}
	return s[start:end]
}

func lower(s string) string {
	for i := range len(s) {
		if lowerByte(s[i]) == s[i] {
			continue
		}
		b := []byte(s)
		for ; i < len(b); i++ {
			b[i] = lowerByte(b[i])
		}
		return string(b)
	}
	return s
}

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
