package identity

import (
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestCurl talks to a server with another TLS library, as the guide's health
// check does.
func TestCurl(t *testing.T) {
	t.Parallel()
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	dir := certsDir(t)
	_, err = EnsureLayout(dir, LayoutOptions{Canonical: func(string) string { return "" }})
	must(t, err)
	got := newRejections()
	cfg, err := ServerConfig(FilesFor(dir, "eventbus"), ServerOptions{NextProtos: []string{"http/1.1", "h2"}, OnReject: got.add})
	must(t, err)
	ln := NewListener(listen(t), cfg, ListenerOptions{})
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := PeerID(*r.TLS)
		_, _ = io.WriteString(w, "hello "+string(id.Role))
	})}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(ln) })
	t.Cleanup(func() {
		_ = server.Close()
		wg.Wait()
	})
	addr := strings.Replace(ln.Addr().String(), "127.0.0.1", "localhost", 1)
	for _, tc := range []struct {
		args, says string
		reason     Reason
	}{
		{"--cacert ca.crt --cert client.crt --key client.key https://" + addr + "/health", "hello agent", ""},
		{"--cacert ca.crt https://" + addr + "/health", "certificate required", ReasonNoCertificate},
		{"--cacert ca.crt --cert client.crt --key client.key --resolve hub9:" + addr[len("localhost:"):] + ":127.0.0.1 https://hub9" + addr[len("localhost"):], "hub9", ""},
		{"http://" + addr + "/health", "with a client certificate", ReasonNotTLS},
	} {
		cmd := exec.CommandContext(t.Context(), curl, append([]string{"-sS", "--noproxy", "*", "-4"}, strings.Fields(tc.args)...)...)
		cmd.Dir = dir
		out, _ := cmd.CombinedOutput()
		if !strings.Contains(string(out), tc.says) {
			t.Errorf("curl %s: %q, want words %q", tc.args, out, tc.says)
		}
		if tc.reason != "" {
			if r := got.next(t); r.Reason != tc.reason {
				t.Errorf("curl %s: %v, want %s", tc.args, &r, tc.reason)
			}
		}
	}
	got.none(t)
}
