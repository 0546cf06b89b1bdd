package scan

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/big"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Range is the addresses from First to Last, both of one family and without zone.
type Range struct{ First, Last netip.Addr }

// Targets are ranges of addresses in ascending order that neither overlap nor touch.
type Targets struct{ ranges []Range }

// defaultMost is how many addresses a plan may have that does not say otherwise: a /16.
const defaultMost = 1 << 16

// ParseTargets reads targets, each a prefix ("10.0.0.0/24"), an address, or a range
// whose end is an address or the last part of one ("10.0.0.1-10.0.1.9", "10.0.0.1-20").
// All faults are told at once.
func ParseTargets(texts ...string) (Targets, error) {
	var all []Range
	var errs []error
	for _, text := range texts {
		r, err := parseRange(strings.TrimSpace(text))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, r)
	}
	return merged(all), errors.Join(errs...)
}

// TargetsOf makes targets of prefixes.
func TargetsOf(prefixes ...netip.Prefix) Targets {
	all := make([]Range, 0, len(prefixes))
	for _, p := range prefixes {
		all = append(all, rangeOf(p))
	}
	return merged(all)
}

func parseRange(text string) (Range, error) {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		r := rangeOf(prefix)
		if !r.First.IsValid() {
			return Range{}, fmt.Errorf("target %q: addresses of IPv4 in those of IPv6 have a prefix of 96 bits at least", text)
		}
		return r, nil
	}
	if one, err := netip.ParseAddr(text); err == nil && one.Zone() == "" {
		one = one.Unmap()
		return Range{one, one}, nil
	}
	from, to, is := strings.Cut(text, "-")
	first, err := netip.ParseAddr(from)
	if !is || err != nil || first.Zone() != "" {
		if strings.Contains(text, ",") {
			return Range{}, fmt.Errorf("target %q: name several targets each by itself, without commas", text)
		}
		return Range{}, fmt.Errorf("target %q: want an address, a prefix such as 10.0.0.0/24 or a range such as 10.0.0.1-20", text)
	}
	first = first.Unmap()
	last, err := netip.ParseAddr(to)
	if err != nil {
		n, numErr := strconv.ParseUint(to, 10, 8)
		if numErr != nil || !first.Is4() {
			return Range{}, fmt.Errorf("target %q: the end of the range is neither an address nor a number up to 255", text)
		}
		b := first.As4()
		b[3] = byte(n)
		last = netip.AddrFrom4(b)
	}
	last = last.Unmap()
	if last.Zone() != "" || first.BitLen() != last.BitLen() || last.Less(first) {
		return Range{}, fmt.Errorf("target %q: the range ends before it begins", text)
	}
	return Range{first, last}, nil
}

// rangeOf is the range of a prefix, and not valid for one of IPv4 in IPv6 (RFC 4291,
// section 2.5.5.2) that is wider than all of IPv4.
func rangeOf(p netip.Prefix) Range {
	bits := p.Bits()
	if p.Addr().Is4In6() {
		bits -= 96
	}
	p = netip.PrefixFrom(p.Addr().Unmap().WithZone(""), bits).Masked()
	if !p.IsValid() {
		return Range{}
	}
	return Range{p.Addr(), lastOf(p)}
}

// lastOf is the last address of a masked prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// merged sorts ranges and joins those that overlap or touch.
func merged(all []Range) Targets {
	all = slices.DeleteFunc(all, func(r Range) bool { return !r.First.IsValid() })
	slices.SortFunc(all, func(a, b Range) int { return cmp.Or(a.First.Compare(b.First), a.Last.Compare(b.Last)) })
	var out []Range
	for _, r := range all {
		if n := len(out); n > 0 && out[n-1].First.BitLen() == r.First.BitLen() &&
			(!out[n-1].Last.Less(r.First) || out[n-1].Last.Next() == r.First) {
			if out[n-1].Last.Less(r.Last) {
				out[n-1].Last = r.Last
			}
			continue
		}
		out = append(out, r)
	}
	return Targets{out}
}

// Ranges gives the ranges. They are not to be changed.
func (t Targets) Ranges() []Range { return t.ranges }

// Empty says whether there is no address.
func (t Targets) Empty() bool { return len(t.ranges) == 0 }

// Contains says whether an address is among the targets.
func (t Targets) Contains(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	i, found := slices.BinarySearchFunc(t.ranges, a, func(r Range, a netip.Addr) int { return r.First.Compare(a) })
	return found || i > 0 && !t.ranges[i-1].Last.Less(a) && t.ranges[i-1].First.BitLen() == a.BitLen()
}

// Count is how many addresses there are, at most 2^64-1.
func (t Targets) Count() uint64 {
	sum := uint64(0)
	for _, r := range t.ranges {
		n := r.count()
		if sum+n < sum {
			return math.MaxUint64
		}
		sum += n
	}
	return sum
}

func (r Range) count() uint64 {
	first, last := new(big.Int).SetBytes(r.First.AsSlice()), new(big.Int).SetBytes(r.Last.AsSlice())
	n := last.Sub(last, first).Add(last, big.NewInt(1))
	if !n.IsUint64() {
		return math.MaxUint64
	}
	return n.Uint64()
}

// All gives the addresses in ascending order.
func (t Targets) All() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for _, r := range t.ranges {
			for a := r.First; a.IsValid() && !r.Last.Less(a); a = a.Next() {
				if !yield(a) {
					return
				}
			}
		}
	}
}

// String lists the ranges, those that are prefixes as such.
func (t Targets) String() string {
	out := make([]string, len(t.ranges))
	for i, r := range t.ranges {
		out[i] = r.String()
	}
	return strings.Join(out, ", ")
}

// String is the range as an address, a prefix or two addresses.
func (r Range) String() string {
	if r.First == r.Last {
		return r.First.String()
	}
	for bits := r.First.BitLen() - 1; bits >= 0; bits-- {
		p := netip.PrefixFrom(r.First, bits)
		if p.Masked().Addr() != r.First {
			break
		}
		if lastOf(p) == r.Last {
			return p.String()
		}
	}
	return r.First.String() + "-" + r.Last.String()
}

// TooManyError says that a plan has more addresses than it allows.
type TooManyError struct {
	Targets    Targets
	Have, Most uint64
}

// Error says it for people.
func (e *TooManyError) Error() string {
	have := strconv.FormatUint(e.Have, 10)
	if e.Have == math.MaxUint64 {
		have = "more than 2^64"
	}
	return fmt.Sprintf("%s: %s addresses are more than the %d that one scan may look at; name smaller subnets, such as %s",
		e.Targets, have, e.Most, smaller(e.Targets, e.Most))
}

// smaller is the widest subnet at the start of the targets that is small enough, for a
// message.
func smaller(t Targets, most uint64) string {
	r := Range{t.ranges[0].First, t.ranges[0].First}
	for bits := r.First.BitLen() - 8; bits >= 0; bits -= 8 {
		p := netip.PrefixFrom(r.First, bits).Masked()
		if rangeOf(p).count() > most {
			break
		}
		r = rangeOf(p)
	}
	return r.String()
}

// PublicError says that a plan has public addresses and does not allow them.
type PublicError struct{ Range Range }

// Error says it for people.
func (e *PublicError) Error() string {
	return fmt.Sprintf("%s has public addresses, which may belong to others", e.Range)
}

// ownUse are ranges that are nobody's on the internet (RFC 1918, 3927, 4193, 4291, 5737,
// 6598, 2544 and 3849).
func ownUse() Targets {
	t, _ := ParseTargets("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10",
		"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "fc00::/7", "fe80::/10", "::1", "2001:db8::/32")
	return t
}

// Validate says all that is wrong with a plan: no targets, public or too many ones,
// addresses of many.
func (p *Plan) Validate() error {
	if p.Targets.Empty() {
		return errors.New("no targets: name a subnet, such as 192.168.1.0/24")
	}
	var errs []error
	own := ownUse()
	for _, r := range p.Targets.ranges {
		if r.First.IsMulticast() || r.Last.IsMulticast() || r.Last == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			errs = append(errs, fmt.Errorf("%s has addresses of many hosts at once; name those of hosts", r))
			continue
		}
		if !p.AllowPublic && !own.covers(r) {
			errs = append(errs, &PublicError{r})
		}
	}
	most := p.MostAddresses
	if most == 0 {
		most = defaultMost
	}
	if n := p.sweptCount(); n > most {
		errs = append(errs, &TooManyError{p.Targets, n, most})
	}
	switch p.Method {
	case "", Auto, SYN, Connect:
	default:
		errs = append(errs, fmt.Errorf("method %q: want auto, syn or connect", p.Method))
	}
	if p.Rate < 0 || p.HostRate < 0 || p.Timeout < 0 {
		errs = append(errs, errors.New("a rate or a timeout is below 0: 0 leaves it to what the network carries"))
	}
	return errors.Join(errs...)
}

// AllExcluded reports a plan that has targets and may send to none of them.
func (p *Plan) AllExcluded() bool {
	return !p.Targets.Empty() && !slices.ContainsFunc(p.Targets.ranges, func(r Range) bool { return !p.Exclude.covers(r) })
}

// sweptCount is how many addresses are tried one by one: a subnet of IPv6 that is wide
// is asked as a whole, by multicast.
func (p *Plan) sweptCount() uint64 {
	one := Targets{slices.DeleteFunc(slices.Clone(p.Targets.ranges), wide)}
	return one.Count()
}

// TooWide are those of the targets that are not swept, since they are subnets of IPv6
// with too many addresses: there the nodes of segments of this host are asked together.
func (t Targets) TooWide() Targets {
	var out []Range
	for _, r := range t.ranges {
		if wide(r) {
			out = append(out, r)
		}
	}
	return Targets{out}
}

// wide says whether a range is one of IPv6 that nobody can sweep.
func wide(r Range) bool { return r.First.Is6() && r.count() > defaultMost }

// covers says whether one of the ranges holds all of r.
func (t Targets) covers(r Range) bool {
	return slices.ContainsFunc(t.ranges, func(o Range) bool {
		return o.First.BitLen() == r.First.BitLen() && !r.First.Less(o.First) && !o.Last.Less(r.Last)
	})
}

// meets says whether one of the ranges has an address in common with r.
func (t Targets) meets(r Range) bool {
	return slices.ContainsFunc(t.ranges, func(o Range) bool {
		return o.First.BitLen() == r.First.BitLen() && !r.Last.Less(o.First) && !o.Last.Less(r.First)
	})
}
