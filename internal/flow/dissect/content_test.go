package dissect

import (
	"crypto/md5"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

func says1(s string) message { return message{FromInitiator, []byte(s)} }
func says2(s string) message { return message{FromResponder, []byte(s)} }

// kexInit is a SSH_MSG_KEXINIT in its packet (RFC 4253, sections 6 and 7.1).
func kexInit(lists [10]string) string {
	body := "\x14" + strings.Repeat("c", 16)
	for _, l := range lists {
		body += string(binary.BigEndian.AppendUint32(nil, uint32(len(l)))) + l
	}
	body += "\x00\x00\x00\x00\x00"
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(body)+1+4))) + "\x04" + body + "pppp"
}

// TestHASSH: the value is the MD5 of the lists of key exchange, encryption, MAC and
// compression of the sender's own direction, with semicolons between, as Salesforce's
// definition of HASSH says.
func TestHASSH(t *testing.T) {
	md5Of := func(s string) string {
		sum := md5.Sum([]byte(s))
		return hex.EncodeToString(sum[:])
	}
	lists := [10]string{"kex-1,kex-2", "ssh-ed25519", "aes-up", "aes-down", "mac-up", "mac-down", "none-up", "none-down", "", ""}
	f := play(New(Options{}), tcpTuple(2022), []message{
		says2("SSH-2.0-Server_1\r\n"), says1("SSH-2.0-Client_2\r\n"), says1(kexInit(lists)), says2(kexInit(lists)),
	}, 40)
	if f == nil || f.App != "ssh" || f.SSH == nil || f.SSH.Client != "SSH-2.0-Client_2" || f.SSH.Server != "SSH-2.0-Server_1" {
		t.Fatalf("%+v", f)
	}
	if want := md5Of("kex-1,kex-2;aes-up;mac-up;none-up"); f.SSH.HASSH != want {
		t.Errorf("HASSH %s, want %s", f.SSH.HASSH, want)
	}
	if want := md5Of("kex-1,kex-2;aes-down;mac-down;none-down"); f.SSH.HASSHServer != want {
		t.Errorf("HASSH of the server %s, want %s", f.SSH.HASSHServer, want)
	}
}

func TestDHCPv4(t *testing.T) {
	b := make([]byte, 240)
	b[0], b[1], b[2] = 2, 1, 6
	copy(b[16:], "\xc0\x00\x02\x21")
	copy(b[28:], "\x02\x00\x5e\x00\x53\x01")
	copy(b[236:], dhcpCookie)
	b = append(b, "\x35\x01\x05\x36\x04\xc0\x00\x02\x01\x0c\x04desk\x3c\x05udhcp\x37\x03\x01\x03\x06\xff"...)
	var named string
	e := New(Options{OnName: func(source, name string, addr packet.Addr, _ int64) {
		named = source + " " + name + " " + string(addr[12:])
	}})
	f := play(e, Tuple{SrcPort: 68, DstPort: 67, Protocol: ipUDP}, []message{{FromResponder, b}}, 1<<16)
	if f == nil || f.DHCP == nil {
		t.Fatalf("%+v", f)
	}
	want := DHCP{
		Message: "ACK", MAC: "02:00:5e:00:53:01", Hostname: "desk", VendorClass: "udhcp",
		Assigned: packet.Addr4([4]byte{192, 0, 2, 33}), Server: packet.Addr4([4]byte{192, 0, 2, 1}), Parameters: []uint8{1, 3, 6}, FromServer: true,
	}
	if !reflect.DeepEqual(*f.DHCP, want) || named != "dhcp desk \xc0\x00\x02\x21" {
		t.Errorf("%+v, named %q", *f.DHCP, named)
	}
}

func TestDHCPv6(t *testing.T) {
	solicit := "\x01abc" + "\x00\x01\x00\x0e\x00\x01\x00\x01\x11\x22\x33\x44\x02\x00\x5e\x00\x53\x02" +
		"\x00\x27\x00\x06\x00\x04desk" + "\x00\x06\x00\x04\x00\x17\x00\x18" + "\x00\x10\x00\x0a\x00\x00\x01\x37\x00\x04MSFT"
	f := play(New(Options{}), Tuple{SrcPort: 546, DstPort: 547, Protocol: ipUDP}, []message{says1(solicit)}, 1<<16)
	if f == nil || f.App != "dhcpv6" || f.DHCP == nil {
		t.Fatalf("%+v", f)
	}
	if d := f.DHCP; d.Message != "SOLICIT" || d.MAC != "02:00:5e:00:53:02" || d.Hostname != "desk" || !strings.HasSuffix(d.VendorClass, "MSFT") || string(d.Parameters) != "\x17\x18" {
		t.Errorf("%+v", *d)
	}
}

// TestDTLS: a ClientHello in two fragments, the second first (RFC 6347, section 4.2.3).
func TestDTLS(t *testing.T) {
	name := "dtls.example"
	sni := "\x00\x00\x00\x11\x00\x0f\x00\x00\x0c" + name
	hello := "\xfe\xfd" + strings.Repeat("r", 32) + "\x00" + "\x00" + "\x00\x02\xc0\x2b" + "\x01\x00" + "\x00\x15" + sni
	record := func(number, from, to int) message {
		part := hello[from:to]
		fragment := "\x01\x00\x00" + string(rune(len(hello))) + "\x00\x00\x00\x00" + string(rune(from)) + "\x00\x00" + string(rune(len(part))) + part
		return says1("\x16\xfe\xff\x00\x00\x00\x00\x00\x00\x00" + string(rune(number)) + "\x00" + string(rune(len(fragment))) + fragment)
	}
	f := play(New(Options{}), udpTuple(4444), []message{record(0, 40, len(hello)), record(1, 0, 40)}, 1<<16)
	if f == nil || f.App != "dtls" || f.TLS == nil || f.TLS.SNI != name || f.TLS.Version != "1.2" || !strings.HasPrefix(f.TLS.JA4, "dd2d0101") {
		t.Fatalf("%+v", f)
	}
}

// chlo is a CHLO of Google's QUIC with a server name and a user agent.
func chlo(name, agent string) []byte {
	b := append([]byte("CHLO\x02\x00\x00\x00SNI\x00"), byte(len(name)), 0, 0, 0)
	b = append(append(b, "UAID"...), byte(len(name)+len(agent)), 0, 0, 0)
	return append(append(b, name...), agent...)
}

// TestGoogleQUIC: in the clear (Q043), and encrypted with the salts of Q050, T050 and
// T051 as Google's QUICHE names them, written out again here.
func TestGoogleQUIC(t *testing.T) {
	check := func(t *testing.T, packet []byte, version string) {
		t.Helper()
		f := play(New(Options{}), udpTuple(443), []message{{FromInitiator, packet}}, 1<<16)
		if f == nil || f.App != "quic" || f.QUIC.Version != version || f.TLS == nil || f.TLS.SNI != "video.example" {
			t.Fatalf("%+v", f)
		}
	}
	t.Run("Q043", func(t *testing.T) {
		check(t, append([]byte("\x0d12345678Q043\x01"+strings.Repeat("h", 12)+"\xa0\x01\x00\x00"), chlo("video.example", "agent")...), "Q043")
	})
	tls13 := "\x03\x03" + strings.Repeat("r", 32) + "\x00\x00\x02\x13\x01\x01\x00\x00\x16" + "\x00\x00\x00\x12\x00\x10\x00\x00\x0dvideo.example"
	tls13 = "\x01\x00\x00" + string(rune(len(tls13))) + tls13
	for _, c := range []struct {
		name, salt string
		version    uint32
		hello      string
	}{
		{"Q050", "504574efd066fe2f9d945cfcdbd3a7f0d3b56b45", quicQ050, string(chlo("video.example", "agent"))},
		{"T050", "7ff579e5acd072915580304c43a2367c60488310", quicT050, tls13},
		{"T051", "7a4edef4e7ccee5fa4506c19124fc8ccda6e033d", quicT051, tls13},
	} {
		t.Run(c.name, func(t *testing.T) {
			salt, err := hex.DecodeString(c.salt)
			if err != nil {
				t.Fatal(err)
			}
			frames := append([]byte{frameCrypto, 0, 0x40, byte(len(c.hello))}, c.hello...)
			check(t, sealInitial(c.version, string(salt), []byte("abcdefgh"), 1, frames), c.name)
		})
	}
}

// TestChangeToTLS: protocols that begin in the clear and go on as TLS; the ClientHello
// inside is read, cut into small segments or not.
func TestChangeToTLS(t *testing.T) {
	mysqlSSL := "\x20\x00\x00\x01\x00\x08\x00\x00" + strings.Repeat("\x00", 28)
	for _, c := range []struct {
		app  string
		port uint16
		say  []message
	}{
		{"smtp", 25, []message{says2("220 mx ESMTP\r\n"), says1("EHLO a\r\n"), says2("250-mx\r\n250 STARTTLS\r\n"), says1("STARTTLS\r\n"), says2("220 go\r\n")}},
		{"pop3", 110, []message{says2("+OK POP3 ready\r\n"), says1("STLS\r\n"), says2("+OK go\r\n")}},
		{"imap", 143, []message{says2("* OK ready\r\n"), says1("a STARTTLS\r\n"), says2("a OK go\r\n")}},
		{"ftp", 21, []message{says2("220 FTP\r\n"), says1("AUTH TLS\r\n"), says2("234 go\r\n")}},
		{"xmpp", 5222, []message{
			says1("<stream:stream xmlns='jabber:client'>"), says2("<stream:stream xmlns='jabber:client'>"),
			says1("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), says2("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
		}},
		{"ldap", 389, []message{says1("\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + startTLSObject), says2("\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00")}},
		{"postgresql", 5432, []message{says1("\x00\x00\x00\x08\x04\xd2\x16\x2f"), says2("S")}},
		{"mysql", 3306, []message{says2("\x0f\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00abc"), says1(mysqlSSL)}},
		{"rdp", 3389, []message{
			says1("\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00"), says2("\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x02\x00\x08\x00\x01\x00\x00\x00"),
		}},
	} {
		t.Run(c.app, func(t *testing.T) {
			handshake := recordTLS(t, &tls.Config{ServerName: "inside.example"}, tls.VersionTLS12)
			for _, size := range []int{1 << 16, 150} {
				f := play(New(Options{}), tcpTuple(c.port), append(slices.Clip(c.say), handshake...), size)
				if f == nil || f.App != c.app || f.TLS == nil || f.TLS.SNI != "inside.example" || f.TLS.Subject != "CN=www.example.com,O=Example" {
					t.Errorf("segments of %d: %+v", size, f)
				}
			}
		})
	}
}

func TestNetBIOSDatagram(t *testing.T) {
	encoded := make([]byte, 0, 32)
	for _, c := range []byte("DESK           \x00") {
		encoded = append(encoded, 'A'+c>>4, 'A'+c&15)
	}
	var named string
	e := New(Options{OnName: func(source, name string, _ packet.Addr, _ int64) { named = source + " " + name }})
	b := append([]byte("\x11\x02\x00\x01\xc0\x00\x02\x07\x00\x8a\x00\x44\x00\x00\x20"), encoded...)
	f := play(e, Tuple{SrcPort: 138, DstPort: 138, Protocol: ipUDP}, []message{{FromInitiator, append(b, 0, 32)}}, 1<<16)
	if f == nil || f.App != "netbios-dgm" || named != "netbios DESK" {
		t.Errorf("%+v, named %q", f, named)
	}
}

// holds looks for a word in every text that can be reached from v.
func holds(v reflect.Value, word string) bool {
	switch v.Kind() {
	case reflect.String:
		return strings.Contains(v.String(), word)
	case reflect.Pointer:
		return !v.IsNil() && holds(v.Elem(), word)
	case reflect.Struct:
		for _, field := range v.Fields() {
			if holds(field, word) {
				return true
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
			return strings.Contains(string(v.Bytes()), word)
		}
		for i := range v.Len() {
			if holds(v.Index(i), word) {
				return true
			}
		}
	default:
	}
	return false
}

// TestSecretsAreNotKept: of a login in the clear the user is told, and the secret is
// in no field of Facts, neither as it was sent nor decoded.
func TestSecretsAreNotKept(t *testing.T) {
	const secret = "hunter2xyz"
	in64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, c := range []struct {
		name, user string
		port       uint16
		say        []message
	}{
		{"http basic", "ann", 80, []message{says1("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic " + in64("ann:"+secret) + "\r\n\r\n")}},
		{"http basic, long user", strings.Repeat("u", 200), 80, []message{says1("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic " + in64(strings.Repeat("u", 200)+":"+secret) + "\r\n\r\n")}},
		{"http url", "", 80, []message{says1("GET http://ann:" + secret + "@a.example/?password=" + secret + " HTTP/1.1\r\n\r\n")}},
		{"http basic, a token as user", "", 80, []message{says1("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic " + in64(secret+":") + "\r\n\r\n")}},
		{"http basic, a token alone", "", 80, []message{says1("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic " + in64(secret) + "\r\n\r\n")}},
		{"mqtt, a token as user", "", 1883, []message{says1("\x10\x19\x00\x04MQTT\x04\x82\x00\x3c\x00\x01c\x00\x0a" + secret)}},
		{"mqtt, a token and no password", "", 1883, []message{says1("\x10\x1b\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01c\x00\x0a" + secret + "\x00\x00")}},
		{"ftp", "ann", 21, []message{says2("220 FTP\r\n"), says1("USER ann\r\nPASS " + secret + "\r\n")}},
		{"pop3", "ann", 110, []message{says2("+OK POP3 ready\r\n"), says1("USER ann\r\nPASS " + secret + "\r\n")}},
		{"imap", "ann", 143, []message{says2("* OK ready\r\n"), says1("a LOGIN ann " + secret + "\r\n")}},
		{"smtp plain", "ann", 25, []message{says2("220 ESMTP\r\n"), says1("AUTH PLAIN " + in64("\x00ann\x00"+secret) + "\r\n")}},
		{"smtp login", "ann", 25, []message{says2("220 ESMTP\r\n"), says1("AUTH LOGIN\r\n"), says2("334 VXNlcm5hbWU6\r\n"), says1(in64("ann") + "\r\n" + in64(secret) + "\r\n")}},
		{"irc", "ann", 6667, []message{says1("PASS " + secret + "\r\nNICK ann\r\nUSER ann 0 * :A\r\n")}},
		{"telnet", "ann", 23, []message{says2("\xff\xfd\x18\xff\xfd\x20login: "), says1("ann\r\n"), says2("Password: "), says1(secret + "\r\n")}},
		{"redis", "ann", 6379, []message{says1("*3\r\n$4\r\nAUTH\r\n$3\r\nann\r\n$10\r\n" + secret + "\r\n")}},
		{"redis, one argument", "default", 6379, []message{says1("*2\r\n$4\r\nAUTH\r\n$10\r\n" + secret + "\r\n")}},
		{"mqtt", "ann", 1883, []message{says1("\x10\x1e\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01c\x00\x03ann\x00\x0a" + secret)}},
		{"socks", "ann", 1080, []message{says1("\x05\x01\x02"), says2("\x05\x02"), says1("\x01\x03ann\x0a" + secret)}},
		{"ldap", "cn=ann", 389, []message{says1("\x30\x1e\x02\x01\x01\x60\x19\x02\x01\x03\x04\x06cn=ann\x80\x0a" + secret + "  ")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, size := range []int{1 << 16, 64} {
				f := play(New(Options{}), tcpTuple(c.port), c.say, size)
				if f == nil || c.user != "" && (f.Cleartext == nil || f.Cleartext.User != c.user) {
					t.Fatalf("segments of %d: %+v", size, f)
				}
				for _, form := range []string{secret, in64(secret), in64(secret)[:12]} {
					if holds(reflect.ValueOf(f), form) {
						t.Errorf("segments of %d: %q is kept: %+v %+v", size, form, f, f.Cleartext)
					}
				}
			}
		})
	}
}

// TestTokensAreMasked: what looks like a secret is none, wherever it stands.
func TestTokensAreMasked(t *testing.T) {
	token := "ghp_" + strings.Repeat("a1B2", 9)
	f := play(New(Options{}), tcpTuple(80), []message{says1("GET /hooks/" + token + "/run HTTP/1.1\r\nHost: a\r\nAuthorization: Basic " +
		base64.StdEncoding.EncodeToString([]byte(token+":x")) + "\r\n\r\n")}, 1<<16)
	if f.HTTP.URL != "/hooks/***/run" || f.Cleartext == nil || f.Cleartext.User != "***" {
		t.Errorf("%+v %+v", f.HTTP, f.Cleartext)
	}
}

// TestCertificates: what is remembered is what was read, and never more than the bound.
func TestCertificates(t *testing.T) {
	c := certificates{}
	der := testCertificate(t).Certificate[0]
	var first, again TLS
	c.fill(&first, der)
	for i := range maxCertificates + 10 {
		c.fill(new(TLS), []byte{0x30, 3, byte(i), byte(i >> 8), 0})
	}
	c.fill(&again, der)
	if len(c) > maxCertificates || !reflect.DeepEqual(first, again) || len(first.Names) != 2 {
		t.Errorf("%d kept, %+v, %+v", len(c), first, again)
	}
}
