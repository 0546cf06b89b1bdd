package service

import (
	"bytes"
	"net/netip"
	"testing"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// FuzzAnswer: whatever a peer answers, each decoder of bytes and each fingerprint ends,
// and what is told of it is short and printable.
func FuzzAnswer(f *testing.F) {
	b, err := load(nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", "\xff\xfd\x18\xff\xfb\x01login: ", "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 3\r\n\r\nabc",
		"E\x00\x00\x00\x20SFATAL\x00C0A000\x00Munsupported 255.0: server supports 3.0 to 3.0\x00\x00",
		"NTLMSSP\x00\x02\x00\x00\x00\x08\x00\x08\x008\x00\x00\x00", "\x04\x01\x00\x20\x00\x00\x01\x00\x00\x00\x0b\x00\x06\xff\x10\x00\x03\xe8\x00\x00",
		"AMOS\x00\x00\x00\x01\x00\x00\x00\x00", "AM\x84\x00\x00\x01\x00\x01\x00\x00\x00\x00", "\x1c\x00\x00\x00\x02version\x00\x06\x00\x00\x006.0.5\x00\x00",
		"\x7e\x10\x30\x0e\xa9\x0c\x1b\x0aEXAMPLE.OR", "\x30\x0c\x02\x01\x03\x30\x00\x04\x06\x30\x04\x04\x02ab", "\x00\x01\x00\x00\x00\x05\x00\x2b\x0e\x01\x01\x00\x00\x01\x00\x03abc",
		"\x30\x08\x02\x01\x01\x65\x03\x0a\x01\x00", "\x24\x02\x03\xe9LOCL", "\xfeSMB@\x00\x01\x00", "(DESCRIPTION=(VSNNUM=318767104))",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		facts := Facts{}
		readAll(facts, answer)
		for _, p := range b.probes {
			if p.Decoder == "" {
				facts.put(p.Name, latin(answer))
			}
		}
		facts.put(bannerFact, latin(answer))
		if options, ok := telnetOptions(answer); ok && len(options) <= 258 {
			facts.put("telnet.text", latin(telnetText(answer)))
		}
		q := &inquiry{Identifier: &Identifier{book: b}, facts: Facts{}, port: &pb.Port{}, at: netip.MustParseAddrPort("192.0.2.1:80"), tried: map[string]bool{}}
		q.learn(&Probe{Decoder: "http"}, facts)
		q.finish()
		if len(q.port.GetBanner()) > 256 || len(q.port.GetRemarks()) > maxRemarks || len(q.clues) > maxClues {
			t.Errorf("%d bytes of banner, %d remarks, %d clues", len(q.port.GetBanner()), len(q.port.GetRemarks()), len(q.clues))
		}
		for _, c := range q.port.GetProduct() + q.port.GetVersion() + q.port.GetBanner() {
			if c < ' ' {
				t.Errorf("a control sign in %v", q.port)
			}
		}
	})
}

// readAll gives an answer to each decoder of bytes.
func readAll(f Facts, b []byte) {
	f.readSMB2Negotiate(b)
	f.readNTLM("smb.", b)
	f.readPostgres(b)
	f.readMSSQL(b)
	f.readOracle(b)
	f.readMQTT(b, "$SYS/broker/version")
	f.readRPCBind(b)
	f.readDNS("version.bind.", b)
	f.readMDNS(b)
	f.readNTP(b)
	f.readNTPVariables(b)
	f.readNetBIOS(b)
	f.readLDAP(b)
	f.readKerberos(b)
	f.readSNMP(b)
	f.readRDP(b)
	f.readModbus(b)
	f.readS7(b)
	f.readHello(b)
	ldapDone(b)
	readBSON(b)
	wholeLine(b)
	if p, _ := readPage(bytes.NewReader(b), maxPage); p != nil {
		f.page("http.", p)
		q := &inquiry{at: netip.MustParseAddrPort("192.0.2.1:80")}
		q.sameHost(p)
		q.iconPath(p)
	}
}

// FuzzFile: no file of fingerprints stops us.
func FuzzFile(f *testing.F) {
	f.Add("probes:\n  - {name: a, ports: \"1-3\", send: \"x\\n\"}\nfingerprints:\n  - {when: {a: 'b(?P<version>.)'}, service: s, cpe: \"a:b:c\", examples: [{facts: {a: bc}}]}\n")
	f.Add("probes: [{name: a, hex: 'zz'}]")
	f.Add("fingerprints: [{when: {}, examples: []}]")
	f.Fuzz(func(_ *testing.T, text string) {
		b := &book{byFact: map[string][]int{}, names: map[string]string{}}
		if b.add("fuzz", []byte(text)) == nil {
			b.candidates(Facts{"a": "b"})
		}
	})
}
