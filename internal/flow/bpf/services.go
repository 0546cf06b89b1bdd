package bpf

import "strings"

// ports of a service; 0 where the protocol has none.
type ports struct{ tcp, udp uint16 }

// services are the usual ones, with the numbers that the IANA "Service Name
// and Transport Protocol Port Number Registry" gives them, and those that
// systems ship. They are asked where the machine's own /etc/services has no
// such name, as in a container without one.
//
//nolint:gochecknoglobals // a table that nothing writes to
var services = map[string]ports{
	"echo": {7, 7}, "discard": {9, 9}, "systat": {11, 0}, "daytime": {13, 13}, "chargen": {19, 19},
	"ftp-data": {20, 0}, "ftp": {21, 0}, "ssh": {22, 0}, "telnet": {23, 0}, "smtp": {25, 0}, "mail": {25, 0},
	"time": {37, 37}, "whois": {43, 0}, "tacacs": {49, 49}, "domain": {53, 53},
	"bootps": {0, 67}, "bootpc": {0, 68}, "tftp": {0, 69}, "gopher": {70, 0}, "finger": {79, 0},
	"http": {80, 0}, "www": {80, 0}, "kerberos": {88, 88}, "iso-tsap": {102, 0}, "acr-nema": {104, 0},
	"pop3": {110, 0}, "pop-3": {110, 0}, "sunrpc": {111, 111}, "portmapper": {111, 111}, "auth": {113, 0}, "ident": {113, 0},
	"nntp": {119, 0}, "ntp": {0, 123}, "epmap": {135, 0}, "netbios-ns": {0, 137}, "netbios-dgm": {0, 138}, "netbios-ssn": {139, 0},
	"imap": {143, 0}, "imap2": {143, 0}, "snmp": {161, 161}, "snmp-trap": {162, 162}, "snmptrap": {162, 162},
	"xdmcp": {0, 177}, "bgp": {179, 0}, "smux": {199, 0}, "ldap": {389, 389}, "svrloc": {427, 427},
	"https": {443, 443}, "snpp": {444, 0}, "microsoft-ds": {445, 445}, "kpasswd": {464, 464},
	"submissions": {465, 0}, "smtps": {465, 0}, "ssmtp": {465, 0}, "isakmp": {0, 500}, "exec": {512, 0}, "biff": {0, 512},
	"login": {513, 0}, "who": {0, 513}, "shell": {514, 0}, "syslog": {0, 514}, "printer": {515, 0}, "talk": {0, 517},
	"route": {0, 520}, "router": {0, 520}, "rip": {0, 520}, "uucp": {540, 0}, "dhcpv6-client": {0, 546}, "dhcpv6-server": {0, 547},
	"klogin": {543, 0}, "kshell": {544, 0}, "afpovertcp": {548, 0}, "rtsp": {554, 554}, "nntps": {563, 0}, "snntp": {563, 0},
	"submission": {587, 0}, "ipp": {631, 631}, "ldaps": {636, 636}, "ldp": {646, 646}, "silc": {706, 0},
	"kerberos-adm": {749, 0}, "domain-s": {853, 853}, "rsync": {873, 0}, "ftps-data": {989, 0}, "ftps": {990, 0},
	"telnets": {992, 0}, "imaps": {993, 0}, "pop3s": {995, 0}, "socks": {1080, 0}, "openvpn": {1194, 1194},
	"ms-sql-s": {1433, 0}, "ms-sql-m": {0, 1434}, "oracle": {1521, 0}, "ingreslock": {1524, 0}, "datametrics": {1645, 1645}, "sa-msg-port": {1646, 1646},
	"l2f": {0, 1701}, "l2tp": {0, 1701}, "radius": {1812, 1812}, "radius-acct": {1813, 1813}, "msnp": {1863, 0},
	"cisco-sccp": {2000, 0}, "nfs": {2049, 2049}, "gnunet": {2086, 2086}, "rtcm-sc104": {2101, 2101}, "gsigatekeeper": {2119, 0},
	"cvspserver": {2401, 0}, "iscsi-target": {3260, 0}, "mysql": {3306, 0}, "ms-wbt-server": {3389, 0}, "nut": {3493, 0},
	"svn": {3690, 0}, "subversion": {3690, 0}, "epmd": {4369, 0}, "ipsec-nat-t": {0, 4500}, "iax": {0, 4569},
	"sip": {5060, 5060}, "sip-tls": {5061, 5061}, "xmpp-client": {5222, 0}, "jabber-client": {5222, 0}, "xmpp-server": {5269, 0},
	"mdns": {0, 5353}, "postgresql": {5432, 0}, "postgres": {5432, 0}, "rplay": {0, 5555}, "amqps": {5671, 0}, "amqp": {5672, 5672},
	"x11": {6000, 0}, "x11-1": {6001, 0}, "gnutella-svc": {6346, 6346}, "redis": {6379, 0}, "sge-qmaster": {6444, 0},
	"syslog-tls": {6514, 0}, "ircd": {6667, 0}, "ircs-u": {6697, 0}, "afs3-fileserver": {0, 7000},
	"http-alt": {8080, 0}, "webcache": {8080, 0}, "puppet": {8140, 0}, "bacula-dir": {9101, 0}, "git": {9418, 0},
	"webmin": {10000, 0}, "zabbix-agent": {10050, 0}, "zabbix-trapper": {10051, 0}, "memcache": {11211, 11211},
	"dicom": {11112, 0}, "hkp": {11371, 0}, "mongodb": {27017, 0}, "wnn6": {22273, 0},
}

func builtinService(name string) (tcp, udp int) {
	tcp, udp = -1, -1
	s, ok := services[name]
	if ok && s.tcp != 0 {
		tcp = int(s.tcp)
	}
	if ok && s.udp != 0 {
		udp = int(s.udp)
	}
	return tcp, udp
}

// protocols are the usual IP protocols, by the keywords of the IANA registry
// "Assigned Internet Protocol Numbers", in lower case.
//
//nolint:gochecknoglobals // a table that nothing writes to
var protocols = map[string]uint8{
	"ip": 0, "hopopt": 0, "icmp": 1, "igmp": 2, "ggp": 3, "ipencap": 4, "st": 5, "tcp": 6, "egp": 8, "igp": 9,
	"pup": 12, "udp": 17, "hmp": 20, "xns-idp": 22, "rdp": 27, "iso-tp4": 29, "dccp": 33, "xtp": 36, "ddp": 37,
	"ipv6": 41, "ipv6-route": 43, "ipv6-frag": 44, "idrp": 45, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51,
	"skip": 57, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "rspf": 73, "vmtp": 81, "eigrp": 88, "ospf": 89,
	"ax.25": 93, "ipip": 94, "etherip": 97, "encap": 98, "pim": 103, "ipcomp": 108, "vrrp": 112, "l2tp": 115,
	"isis": 124, "sctp": 132, "fc": 133, "mobility-header": 135, "udplite": 136, "mpls-in-ip": 137, "hip": 139,
	"shim6": 140, "wesp": 141, "rohc": 142, "ethernet": 143,
}

func builtinProtocol(name string) (uint32, bool) {
	n, ok := protocols[strings.ToLower(name)]
	return uint32(n), ok
}
