package service

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve listens on a free port of loopback and gives each connection to talk.
func serve(t *testing.T, talk func(net.Conn)) netip.AddrPort {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				talk(c)
			}()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return netip.MustParseAddrPort(l.Addr().String())
}

func identifier(t *testing.T) *Identifier {
	t.Helper()
	i, err := New(Options{Deadline: 3 * time.Second, Greeting: 50 * time.Millisecond, Patience: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func look(t *testing.T, i *Identifier, at netip.AddrPort) *pb.Port {
	t.Helper()
	return i.Identify(t.Context(), new(net.Dialer), at, "tcp", Hint{})
}

// TestGreets: a service that greets is known by what it says, on any port.
func TestGreets(t *testing.T) {
	t.Parallel()
	i := identifier(t)
	for _, c := range []struct{ greeting, service, product, version string }{
		{"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", "ssh", "OpenSSH", "9.2p1"},
		{"220 (vsFTPd 3.0.3)\r\n", "ftp", "vsftpd", "3.0.3"},
		{"220 box ESMTP Exim 4.96 Sat\r\n", "smtp", "Exim smtpd", "4.96"},
		{"+OK Dovecot (Debian) ready.\r\n", "pop3", "Dovecot pop3d", ""},
		{"RFB 003.008\n", "vnc", "", ""},
		{"@RSYNCD: 31.0\n", "rsync", "rsync", ""},
		{"\xff\xfd\x18\xff\xfd\x20", "telnet", "", ""},
		{"j\x00\x00\x00\n5.5.5-10.11.6-MariaDB-0+deb12u1\x00\x08\x00", "mysql", "MariaDB", "10.11.6"},
	} {
		t.Run(c.service, func(t *testing.T) {
			t.Parallel()
			p := look(t, i, serve(t, func(conn net.Conn) {
				_, _ = io.WriteString(conn, c.greeting)
				_, _ = io.Copy(io.Discard, conn)
			}))
			if p.GetService() != c.service || p.GetProduct() != c.product || p.GetVersion() != c.version {
				t.Errorf("%q is taken for %v", c.greeting, p)
			}
		})
	}
}

// TestHTTP: title, server and icon of a page, in the clear and within TLS.
func TestHTTP(t *testing.T) {
	t.Parallel()
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "nginx/1.22.1")
		switch r.URL.Path {
		case "/":
			http.Redirect(w, r, "/home", http.StatusFound)
		case "/home":
			_, _ = io.WriteString(w, "<html><head><title>A &amp; B\n</title><link rel=icon href='/i.png'></head></html>")
		case "/i.png":
			_, _ = w.Write(bytes.Repeat([]byte{0x89, 'P', 'N', 'G'}, 32))
		}
	})
	plain, secure := httptest.NewServer(page), httptest.NewTLSServer(page)
	defer plain.Close()
	defer secure.Close()
	i := identifier(t)
	for _, s := range []*httptest.Server{plain, secure} {
		p := look(t, i, netip.MustParseAddrPort(s.Listener.Addr().String()))
		if p.GetProduct() != "nginx" || p.GetVersion() != "1.22.1" || p.GetTitle() != "A & B" || len(p.GetFaviconSha256()) != 64 {
			t.Errorf("%s: %v", s.URL, p)
		}
		if s == secure && (p.GetService() != "https" || p.GetTlsVersion() != "TLS 1.3" || len(p.GetCertificateSha256()) != 64 || p.GetCertificateNotAfter() == nil) {
			t.Errorf("%s: %v", s.URL, p)
		}
		if s == plain && p.GetService() != "http" {
			t.Errorf("%s: %v", s.URL, p)
		}
	}
}

// TestUnreadableCertificate: a certificate that no parser takes is known by its hash.
func TestUnreadableCertificate(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{[]byte("no certificate")}, PrivateKey: key}}}
	p := look(t, identifier(t), serve(t, func(c net.Conn) { _ = tls.Server(c, config).Handshake() }))
	sum := sha256.Sum256([]byte("no certificate"))
	if p.GetService() != "tls" || p.GetTlsVersion() != "TLS 1.2" || p.GetCertificateSha256() != hex.EncodeToString(sum[:]) || len(p.GetRemarks()) == 0 {
		t.Errorf("taken for %v", p)
	}
}

// TestHostile: what never ends, says nothing, or is no text, costs bounded time.
func TestHostile(t *testing.T) {
	t.Parallel()
	i := identifier(t)
	for name, talk := range map[string]func(net.Conn){
		"silent": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"flood": func(c net.Conn) {
			for {
				if _, err := c.Write(bytes.Repeat([]byte("A\x00\xff\x1b"), 1<<14)); err != nil {
					return
				}
			}
		},
		"endless header": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := io.WriteString(c, "X-A: "+strings.Repeat("a", 1000)+"\r\n"); err != nil {
					return
				}
			}
		},
		"hangs up": func(net.Conn) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			p := i.Identify(ctx, new(net.Dialer), serve(t, talk), "tcp", Hint{})
			if ctx.Err() != nil || len(p.GetBanner()) > 256 {
				t.Errorf("%v after %v", p, ctx.Err())
			}
		})
	}
}

// TestEchoIsNoService: what sends back what it is sent answers every question as that was
// asked, and is none of the services that would.
func TestEchoIsNoService(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"at once": 64 << 10, "byte by byte": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := serve(t, func(c net.Conn) {
				b := make([]byte, size)
				for {
					n, err := c.Read(b)
					if err != nil {
						return
					}
					if _, err := c.Write(b[:n]); err != nil {
						return
					}
				}
			})
			if p := look(t, identifier(t), at); p.GetService() != "" || p.GetProduct() != "" {
				t.Errorf("an echo is told to be %s %s: %v", p.GetService(), p.GetProduct(), p)
			}
		})
	}
}
