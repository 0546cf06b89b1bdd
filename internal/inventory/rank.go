package inventory

import "slices"

// Ranks of sources: what a device tells of itself by a protocol made for that stands
// over what its services let out, and that over a guess from an address.
const (
	rankGuess     = 10 // arp, ndp, icmp: the maker's part of an address
	rankScan      = 25 // nmap, dns
	rankBanner    = 30 // tcp, udp
	rankHeard     = 35 // dhcp, mdns, ssdp, netbios
	rankProved    = 40 // ssh, tls, and agent: an agent of ours on the device itself
	rankNeighbour = 45 // lldp, cdp
	rankManaged   = 50 // snmp alone
)

// rankOf is the rank of facts from these sources: that of the best, and no more than
// proved where there are others, as the state of a whole device does not say which fact
// is whose.
func rankOf(sources []string) int {
	if len(sources) == 1 && sources[0] == "snmp" {
		return rankManaged
	}
	rank := rankGuess
	for _, s := range sources {
		switch s {
		case "lldp", "cdp":
			rank = max(rank, rankNeighbour)
		case "ssh", "tls", "snmp", "agent":
			rank = max(rank, rankProved)
		case "dhcp", "mdns", "ssdp", "netbios":
			rank = max(rank, rankHeard)
		case "tcp", "udp", "http":
			rank = max(rank, rankBanner)
		case "nmap", "dns":
			rank = max(rank, rankScan)
		}
	}
	if len(sources) > 1 {
		rank = min(rank, rankProved)
	}
	return rank
}

// confident is the rank of a classification with a confidence from 0 to 1: SNMP's stands
// over the surest guess.
func confident(rank int, confidence float64) int {
	if confidence <= 0 || rank >= rankNeighbour {
		return rank
	}
	return rankGuess + int(min(confidence, 1)*float64(rankProved-rankGuess))
}

// nameRankOf is the rank of names from these sources.
func nameRankOf(sources []string) int {
	rank := 10
	for _, s := range sources {
		switch s {
		case "snmp", "lldp", "cdp", "agent":
			rank = max(rank, 60)
		case "dns":
			rank = max(rank, 50)
		case "dhcp":
			rank = max(rank, 45)
		case "mdns":
			rank = max(rank, 40)
		case "netbios":
			rank = max(rank, 35)
		case "nmap":
			rank = max(rank, 30)
		case "tls":
			rank = max(rank, 20)
		}
	}
	return rank
}

// announces reports whether names from these sources are a device's own words. Where
// others name it too, it is not known which names are whose.
func announces(sources []string) bool {
	if slices.ContainsFunc(sources, func(s string) bool { return s == "dns" || s == "tls" || s == "nmap" }) {
		return false
	}
	return slices.ContainsFunc(sources, func(s string) bool {
		return slices.Contains([]string{"snmp", "lldp", "cdp", "dhcp", "mdns", "netbios"}, s)
	})
}

// stale is after how many seconds of silence a fact gives way to one of a worse source.
const stale = 7 * 24 * 60 * 60

// yields reports whether a fact that stands gives way to another value.
func (s *standing) yields(rank int, o *sighting) bool {
	switch {
	case rank > s.Rank, o.now-s.At > stale:
		return true
	case rank == s.Rank:
		return s.Observer == o.observer || s.Observer == ""
	}
	return false
}
