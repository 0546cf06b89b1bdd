package track

// exchange is a kind of ICMP message that asks, and the kind that answers it.
type exchange struct{ ask, answer uint8 }

// The pairs are those that Community ID (v1) takes as one flow.
//
//nolint:gochecknoglobals // tables that are only read, on the way of each packet
var (
	// RFC 792, RFC 950, RFC 1256.
	exchanges4 = [...]exchange{{8, 0}, {10, 9}, {13, 14}, {15, 16}, {17, 18}}
	// RFC 4443, RFC 2710, RFC 4861, RFC 3122 (144 and 145 of RFC 6275).
	exchanges6 = [...]exchange{{128, 129}, {130, 131}, {133, 134}, {135, 136}, {139, 140}, {144, 145}}
)

// Counterpart returns the type that answers an ICMP type, or that it answers. paired
// is false for what stands alone.
func Counterpart(protocol, kind uint8) (other uint8, paired bool) {
	pairs := exchanges4[:]
	if protocol == protoICMPv6 {
		pairs = exchanges6[:]
	}
	for _, x := range pairs {
		switch kind {
		case x.ask:
			return x.answer, true
		case x.answer:
			return x.ask, true
		}
	}
	return 0, false
}

// Asks reports whether an ICMP type begins an exchange.
func Asks(protocol, kind uint8) bool {
	pairs := exchanges4[:]
	if protocol == protoICMPv6 {
		pairs = exchanges6[:]
	}
	for _, x := range pairs {
		if kind == x.ask {
			return true
		}
	}
	return false
}
