package dial

import (
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"unicode"

	"github.com/amoskys/amoskys/internal/config"
)

// FuzzProxyAnswer: whatever a proxy answers gives a tunnel or a ProxyError, in
// whose text nothing of the answer is.
func FuzzProxyAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 Connection established\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly",
		"HTTP/1.1 204 \r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.0 407 \x1b[2J\r\nProxy-Authenticate: Basic\r\n\r\n", "HTTP/1.1 403", "HTTP/9.9 999 x\r\n\r\n", "\x15\x03\x01\x00\x02\x02F", "",
	} {
		f.Add([]byte(seed))
	}
	proxy := &url.URL{Scheme: "http", Host: "p:1"}
	f.Fuzz(func(t *testing.T, answer []byte) {
		near, away := net.Pipe()
		go func() {
			_, _ = away.Read(make([]byte, 4096)) // the request, which is one write
			_, _ = away.Write(answer)
			_ = away.Close()
		}()
		d := &Dialer{setting: "HTTPS_PROXY"}
		conn, err := d.negotiate(t.Context(), near, proxy, &ProxyError{Proxy: "http://p:1", Setting: d.setting, Addr: far})
		_ = near.Close()
		if err == nil {
			_, _ = io.ReadAll(conn)
			return
		}
		fault, ok := errors.AsType[*ProxyError](err)
		if !ok {
			t.Fatalf("%v", err)
		}
		if text := fault.Error(); strings.ContainsFunc(text, unicode.IsControl) || len(text) > 300 {
			t.Errorf("%q", text)
		}
	})
}

// FuzzProxySetting: a setting is taken or refused, and its password shown by neither.
func FuzzProxySetting(f *testing.F) {
	for _, seed := range []string{"", "none", "http://p:3128", "https://zoe:s3cret@p", "s3cret", "http://zoe:s3cret@[::1%25x]:1", "file:", "env:X", "http://s3cret@"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v := config.NewCheck()
		p := Proxy(text)
		p.validate(v, "proxy")
		u, err := url.Parse(text)
		if err != nil || u.User == nil || p.isReference() {
			return
		}
		if password, set := u.User.Password(); set && len(password) > 5 && !strings.Contains(u.Host, password) && strings.Contains(p.String(), password) {
			t.Errorf("%q shows %q", p.String(), password)
		}
	})
}
