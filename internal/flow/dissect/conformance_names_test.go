package dissect_test

import "strings"

// ours says by which of our names nDPI's protocols go.
var ours = map[string]string{
	"TLS": "tls", "DNS": "dns", "HTTP": "http websocket", "Radius": "radius", "NetBIOS": "netbios-ns netbios-dgm netbios-ssn smb", "Kerberos": "kerberos",
	"SD-RTN": "sd-rtn", "STUN": "stun rtp", "Zabbix": "zabbix", "Syslog": "syslog", "SIP": "sip", "Source_Engine": "source-engine", "SSDP": "ssdp",
	"NFS": "nfs sunrpc", "FTP_CONTROL": "ftp", "TuyaLP": "tuya", "MDNS": "mdns", "Jabber": "xmpp", "SOCKS": "socks", "LDAP": "ldap", "TPLINK_SHP": "tplink-shp",
	"QUIC": "quic", "ICMPV6": "icmpv6", "ICMP": "icmp", "DTLS": "dtls", "DNP3": "dnp3", "BACnet": "bacnet", "RTSP": "rtsp", "PostgreSQL": "postgresql",
	"Elasticsearch": "elasticsearch", "UBNTAC2": "ubnt-discovery", "POP3": "pop3", "IGMP": "igmp", "WhatsApp": "whatsapp",
	"SMBv23": "smb", "SMBv1": "smb", "MongoDB": "mongodb", "BGP": "bgp", "Whois-DAS": "whois", "VNC": "rfb", "RDP": "rdp", "NTP": "ntp", "IMAPS": "imaps imap", "POPS": "pop3s pop3", "SMTPS": "smtps smtp",
	"IEC60870": "iec-104", "SSH": "ssh", "RX": "afs", "RTMP": "rtmp", "MGCP": "mgcp", "HTTP_Proxy": "http", "HTTP_Connect": "http", "DHCP": "dhcp", "DCERPC": "dcerpc profinet", "CiscoVPN": "cisco-vpn",
	"Cassandra": "cassandra", "AJP": "ajp", "Spotify": "spotify", "RTP": "rtp", "RTCP": "rtcp", "MsSQL-TDS": "tds", "Monero": "monero", "LISP": "lisp", "HSRP": "hsrp", "H323": "h323",
	"EthernetIP": "ethernet-ip", "CIP": "ethernet-ip", "Dropbox": "dropbox-lansync", "Ceph": "ceph", "Zoom": "zoom", "VRRP": "vrrp", "TiVoConnect": "tivoconnect", "Softether": "softether",
	"SMTP": "smtp", "RakNet": "raknet", "RSYNC": "rsync", "IPSec": "isakmp esp ah", "IMAP": "imap", "Git": "git", "Discord": "discord", "AFP": "afp", "iSCSI": "iscsi",
	"Z3950": "z3950", "WSD": "ws-discovery", "VMware": "vmware", "Telnet": "telnet", "Service_Location_Protocol": "slp", "SRTP": "rtp rtcp stun", "Roughtime": "roughtime", "Raft": "raft",
	"Radmin": "radmin", "RSH": "rsh", "Oracle": "oracle-tns", "OpenVPN": "openvpn", "OSPF": "ospf", "NoMachine": "nomachine", "MySQL": "mysql", "Mumble": "mumble", "MQTT": "mqtt",
	"Lustre": "lustre", "LotusNotes": "lotusnotes", "LLMNR": "llmnr", "LDP": "ldp", "JRMI": "java-rmi", "IEEE-C37118": "c37.118", "Gnutella": "gnutella", "GTP": "gtp", "DHCPV6": "dhcpv6",
	"Corba": "giop", "Citrix": "citrix-ica", "CiscoSkinny": "skinny", "BITCOIN": "bitcoin", "ATG": "atg", "ANSI_C1222": "ansi-c12.22", "sFlow": "sflow", "Yojimbo": "yojimbo", "XDMCP": "xdmcp",
	"WireGuard": "wireguard", "WebSocket": "websocket", "Sonos": "sonos", "STOMP": "stomp", "S7Comm": "s7comm", "RTPS": "rtps", "OPC-UA": "opcua", "Modbus": "modbus", "Memcached": "memcached",
	"IRC": "irc", "IP_PIM": "pim", "HalfLife2": "half-life source-engine", "HL7": "hl7", "HAProxy": "haproxy", "Gearman": "gearman", "FastCGI": "fastcgi", "FLUTE": "flute", "EthernetGlobalData": "egd",
	"DRDA": "drda", "CloudflareWarp": "cloudflare-warp", "CHECKMK": "checkmk", "BeckhoffADS": "ads", "Oscar": "oscar", "GRE": "gre", "SCTP": "sctp", "BitTorrent": "bittorrent", "Starcraft": "starcraft",
	"TeamSpeak": "teamspeak", "Steam": "steam", "Redis": "redis", "NATS": "nats", "Kafka": "kafka", "AMQP": "amqp", "CoAP": "coap", "COAP": "coap", "TFTP": "tftp", "SNMP": "snmp", "NetFlow": "netflow",
	"IPFIX": "ipfix", "Minecraft": "minecraft", "EDONKEY": "edonkey", "eDonkey": "edonkey", "Tacacs": "tacacs", "TINC": "tinc", "PPTP": "pptp", "L2TP": "l2tp", "Diameter": "diameter", "OpenFlow": "openflow",
	"Munin": "munin", "Collectd": "collectd", "Teredo": "teredo", "TeamViewer": "teamviewer", "X11": "x11", "RIP": "rip", "CPHA": "", "BFD": "bfd", "PTPv2": "ptp", "Mining": "stratum monero", "ProtonVPN": "",
}

// names returns our names for a protocol of nDPI, nil where we have none.
func names(proto string) []string {
	if proto == "TLS.RDP" { // The negotiation in front was seen.
		proto = "RDP"
	}
	master, _, _ := strings.Cut(proto, ".")
	if n, ok := ours[master]; ok && n != "" {
		return strings.Fields(n)
	}
	return nil
}
