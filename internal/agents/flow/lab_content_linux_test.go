package flow

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/amoskys/amoskys/internal/flow/track"
)

// TestLabContent: a request that waits for its answer is told with protocol and name,
// over IPv4 and IPv6, with all that cards may do left to them.
func TestLabContent(t *testing.T) {
	if testing.Short() {
		t.Skip("a lab of namespaces; -short leaves it out")
	}
	l := newLab(t)
	for _, n := range []struct {
		in            *os.File
		name, address string
	}{{l.a, "a0", "2001:db8::1"}, {l.b, "b0", "2001:db8::2"}} {
		if err := inNamespace(n.in, func() error {
			return os.WriteFile("/proc/sys/net/ipv6/conf/"+n.name+"/disable_ipv6", []byte("0"), 0)
		}); err != nil {
			t.Skipf("no IPv6: %v", err)
		}
		ip(t, n.in, "address add "+n.address+"/64 dev "+n.name+" nodad")
	}
	opened := make(openings, 16)
	stop := l.watchFor(l.a, "a0", opened)
	var finish []func()
	for _, at := range []string{labB, "[2001:db8::2]"} {
		finish = append(finish, l.ask(at))
	}
	hosts := map[string]bool{}
	for len(hosts) < len(finish) {
		o := <-opened
		if o.app != "http" {
			t.Fatalf("opened without content: %+v", o)
		}
		hosts[o.host] = true
	}
	for _, f := range finish {
		f()
	}
	for _, f := range stop().flows {
		if f.Protocol == unix.IPPROTO_TCP && (f.Facts == nil || f.Facts.HTTP == nil || f.Facts.HTTP.Status != http.StatusOK) {
			t.Errorf("ended without the answer: %+v", f.Facts)
		}
	}
	if !hosts["v4.example"] || !hosts["v6.example"] {
		t.Errorf("hosts %v", hosts)
	}
}

// opening is what a connection told first.
type opening struct{ app, host string }

// openings passes on what connections tell first.
type openings chan opening

func (o openings) Opened(f *track.Flow) {
	if f.Protocol != unix.IPPROTO_TCP {
		return
	}
	var told opening
	if f.Facts != nil {
		told.app = f.Facts.App
		if f.Facts.HTTP != nil {
			told.host = f.Facts.HTTP.Host
		}
	}
	o <- told
}
func (openings) Updated(*track.Flow) {}
func (openings) Ended(*track.Flow)   {}

// ask sends a request from a to an address of b. It is answered when the returned
// function is called.
func (l *lab) ask(at string) (finish func()) {
	l.t.Helper()
	host := "v4.example"
	if strings.HasPrefix(at, "[") {
		host = "v6.example"
	}
	var server net.Listener
	if err := inNamespace(l.b, func() (err error) {
		server, err = (&net.ListenConfig{}).Listen(l.t.Context(), "tcp", at+":0")
		return err
	}); err != nil {
		l.t.Fatal(err)
	}
	var client net.Conn
	if err := inNamespace(l.a, func() (err error) {
		client, err = (&net.Dialer{}).DialContext(l.t.Context(), "tcp", server.Addr().String())
		return err
	}); err != nil {
		l.t.Fatal(err)
	}
	accepted, err := server.Accept()
	if err != nil {
		l.t.Fatal(err)
	}
	// Two frames of many segments, which a card is to cut.
	if _, err := fmt.Fprintf(client, "POST /upload HTTP/1.1\r\nHost: %s\r\nContent-Length: 60000\r\n\r\n%s", host, strings.Repeat("x", 30000)); err != nil {
		l.t.Fatal(err)
	}
	return func() {
		if _, err := fmt.Fprint(client, strings.Repeat("x", 30000)); err != nil {
			l.t.Error(err)
		}
		request, err := http.ReadRequest(bufio.NewReader(accepted))
		if err == nil {
			err = request.Body.Close()
		}
		if err != nil {
			l.t.Error(err)
		}
		if _, err := fmt.Fprint(accepted, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"); err != nil {
			l.t.Error(err)
		}
		_, _, _ = accepted.Close(), client.Close(), server.Close()
	}
}
