package dissect

// service says what a protocol carries that is a protocol of its own: DNS over TLS,
// mail within TLS. It is empty where nothing says so.
type service string

// The services that are told apart.
const (
	serviceDoT     service = "dot"
	serviceDoH     service = "doh"
	serviceDoQ     service = "doq"
	serviceTor     service = "tor"
	serviceConnect service = "connect"
)

// label writes the service into Facts.
func (s service) label(f *Facts) {
	if s == "" {
		return
	}
	f.Service = string(s)
	switch s {
	case serviceDoT, serviceDoH, serviceDoQ:
		f.Category = categoryName
	case serviceTor:
		f.Category = categoryVPN
	case "imaps", "pop3s", "smtps":
		f.Category = categoryMail
	default:
	}
}

// resolvers are names of servers that answer DNS over HTTPS. What is asked there is
// encrypted, so the name is all that tells; a resolver that is not listed, or is
// reached by its address, is plain TLS.
var resolvers = map[string]bool{ //nolint:gochecknoglobals // constant
	"dns.google": true, "dns.google.com": true, "dns64.dns.google": true, "8888.google": true,
	"cloudflare-dns.com": true, "mozilla.cloudflare-dns.com": true, "chrome.cloudflare-dns.com": true,
	"one.one.one.one": true, "1dot1dot1dot1.cloudflare-dns.com": true, "security.cloudflare-dns.com": true,
	"family.cloudflare-dns.com": true, "dns.cloudflare.com": true, "odoh.cloudflare-dns.com": true,
	"dns.quad9.net": true, "dns9.quad9.net": true, "dns10.quad9.net": true, "dns11.quad9.net": true, "dns12.quad9.net": true,
	"doh.opendns.com": true, "doh.familyshield.opendns.com": true, "doh.umbrella.com": true, "dns.umbrella.com": true,
	"dns.nextdns.io": true, "doh3.dns.nextdns.io": true, "firefox.dns.nextdns.io": true, "chromium.dns.nextdns.io": true,
	"dns.adguard.com": true, "dns.adguard-dns.com": true, "dns-unfiltered.adguard.com": true, "unfiltered.adguard-dns.com": true,
	"family.adguard-dns.com": true, "dns-family.adguard.com": true, "doh.cleanbrowsing.org": true,
	"doh.mullvad.net": true, "dns.mullvad.net": true, "adblock.dns.mullvad.net": true, "doh.xfinity.com": true,
	"doh.dns.sb": true, "dns.sb": true, "doh.sb": true, "doh.applied-privacy.net": true, "dns.digitale-gesellschaft.ch": true,
	"dns.switch.ch": true, "doh.libredns.gr": true, "dns.alidns.com": true, "doh.pub": true, "dns.pub": true, "doh.360.cn": true,
	"freedns.controld.com": true, "dns.controld.com": true, "dns0.eu": true, "zero.dns0.eu": true, "doh.ffmuc.net": true,
	"dns.apple.com": true, "doh.dns.apple.com": true, "dns.njal.la": true, "dns.aa.net.uk": true,
	"ordns.he.net": true, "doh.li": true, "dnsforge.de": true, "doh.tiar.app": true, "jp.tiar.app": true, "public.dns.iij.jp": true,
}

// tlsPorts are the ports of protocols within TLS (IANA registry of services).
var tlsPorts = map[uint16]service{ //nolint:gochecknoglobals // constant
	465: "smtps", 563: "nntps", 636: "ldaps", 853: serviceDoT, 989: "ftps-data", 990: "ftps", 992: "telnets",
	993: "imaps", 995: "pop3s", 2376: "docker-s", 3269: "ldaps", 5061: "sips", 5223: "xmpps",
	5349: "stuns", 5671: "amqps", 5684: "coaps", 6514: "syslog-tls", 6697: "ircs", 8883: "secure-mqtt",
}

// serviceOfTLS tells what a client wants to speak within TLS: by what it offers
// (ALPN), by whom it asks for, and by the port.
func serviceOfTLS(r *reading, t *TLS) service {
	if r.s.service != "" {
		return r.s.service
	}
	for _, a := range t.ALPN {
		switch a {
		case "dot":
			return serviceDoT
		case "doq", "doq-i00", "doq-i02", "doq-i03", "doq-i11":
			return serviceDoQ
		case "imap":
			return "imaps"
		case "pop3":
			return "pop3s"
		case "xmpp-client", "xmpp-server":
			return "xmpps"
		case "mqtt":
			return "secure-mqtt"
		case "smb":
			return "smb"
		}
	}
	if resolvers[t.SNI] {
		if r.s.tuple.DstPort == 853 {
			return serviceDoT
		}
		return serviceDoH
	}
	if r.s.facts != nil && r.s.facts.QUIC != nil {
		return ""
	}
	return tlsPorts[r.s.tuple.DstPort]
}

// torNames says whether server name, subject and issuer look as those which Tor
// makes up: www.BASE32.com, and a certificate of CN=www.BASE32.net by another
// www.BASE32.com, each of 8 to 20 characters (tor, src/core/mainloop).
func torNames(sni, subject, issuer string) bool {
	return torName(sni, ".com") && torName(subject, ".net") && torName(issuer, ".com")
}

func torName(s, end string) bool {
	if len(s) < 4+8+4 || len(s) > 4+20+4 || s[:4] != "www." || s[len(s)-4:] != end {
		return false
	}
	for _, c := range s[4 : len(s)-4] {
		if (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}
