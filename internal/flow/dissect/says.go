package dissect

// says makes a signature of words, one of which stands at the beginning. Each has at
// least four bytes.
func says(words ...string) signature {
	first := make([]byte, len(words))
	for i, w := range words {
		first[i] = w[0]
	}
	return signature{starts: string(first), match: func(l *look) answer { return anyOf(l.b, words...) }}
}

// when asks on only where a condition holds.
func when(ok bool, a answer) answer {
	if ok {
		return a
	}
	return no
}

// need returns more while b is shorter than n and nothing speaks against it.
func need(l *look, n int) bool { return len(l.b) < n }

// ported says whether one end of the packet is one of the ports.
func (l *look) ported(ports ...uint16) bool {
	for _, p := range ports {
		if l.srcPort == p || l.dstPort == p {
			return true
		}
	}
	return false
}

// byPort is yes where a port supports the form, else maybe.
func (l *look) byPort(ports ...uint16) answer {
	if l.ported(ports...) {
		return yes
	}
	return maybe
}
