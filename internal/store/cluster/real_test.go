package cluster_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/store/cluster"
	"github.com/amoskys/amoskys/internal/store/enginetest"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// looked runs a cluster of one server until its state is known, and returns it.
func looked(t *testing.T, o vlogs.Options, keeps time.Duration) *cluster.Cluster {
	t.Helper()
	c, err := cluster.New(cluster.Options{Name: "a", Select: o, Nodes: []vlogs.Options{o}, LookEvery: 50 * time.Millisecond, Keeps: keeps})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	until(t, "the cluster was looked at", func() bool {
		return c.State().Running || c.State().Reason != "it was not looked at yet" && !strings.Contains(c.State().Reason, "not looked at")
	})
	return c
}

// TestRealServers: storage nodes with TLS, passwords, full disks, short retention, no
// deletion and of a newer version, each a server of VictoriaLogs as its makers have it.
func TestRealServers(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: servers of VictoriaLogs")
	}
	t.Parallel()
	certs := t.TempDir()
	if _, err := identity.EnsureLayout(certs, identity.LayoutOptions{Host: "node", Hosts: []string{"127.0.0.1"}, Canonical: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(certs, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	word := func(text string) func() (string, error) { return func() (string, error) { return text, nil } }
	const right, wrong = "Basic c3RvcmU6c2VjcmV0", "Basic c3RvcmU6d3Jvbmc=" // store:secret, store:wrong
	secure := []string{"-tls", "-tlsCertFile=" + filepath.Join(certs, "eventbus.crt"), "-tlsKeyFile=" + filepath.Join(certs, "eventbus.key"), "-httpAuth.username=store", "-httpAuth.password=secret"}
	for name, tc := range map[string]struct {
		flags  []string
		newer  string
		tls    *tls.Config
		auth   func() (string, error)
		reason string // why it is not used; empty where it is
		note   string // what is said of it all the same
	}{
		"plain":               {},
		"tls and a password":  {flags: secure, tls: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, auth: word(right)},
		"a wrong password":    {flags: secure, tls: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, auth: word(wrong), reason: "401"},
		"no password":         {flags: secure, tls: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, reason: "401"},
		"another authority":   {flags: secure, tls: &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}, auth: word(right), reason: "certificate"},
		"another name":        {flags: secure, tls: &tls.Config{RootCAs: pool, ServerName: "other", MinVersion: tls.VersionTLS12}, auth: word(right), reason: "other"},
		"a disk that is full": {flags: []string{"-storage.minFreeDiskSpaceBytes=900TiB"}, note: "takes no rows, as its disk is nearly full"},
		"a short retention":   {flags: []string{"-retentionPeriod=7d"}, reason: "keeps events for"},
		"no deletion":         {flags: []string{"-delete.enable=false"}, reason: "deletes nothing"},
		"a newer version":     {newer: "v9.1.0", note: "v9.1.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := enginetest.Versioned(t, tc.newer, tc.flags...)
			o := vlogs.Options{Address: s.URL, TLS: tc.tls, Authorization: tc.auth, Timeout: 10 * time.Second}
			if tc.tls != nil {
				o.Address = strings.Replace(s.URL, "http:", "https:", 1)
			}
			c := looked(t, o, 30*24*time.Hour)
			state, node := c.State(), c.Nodes()[0]
			if state.Running != (tc.reason == "") || !strings.Contains(state.Reason, tc.reason) || !strings.Contains(node.Reason, tc.note) {
				t.Errorf("running %t, %s; node %+v", state.Running, state.Reason, node)
			}
			if strings.Contains(state.Reason+node.Reason, "secret") || strings.Contains(state.Reason+node.Reason, "c3RvcmU") {
				t.Errorf("it tells the password: %s", state.Reason)
			}
			if !state.Running {
				return
			}
			var rows vlogs.Rows
			rows.Begin([]vlogs.Field{{Name: "host", Value: "a"}}, time.Now().UnixNano())
			rows.Text("message", "x")
			err := c.Client().Insert(t.Context(), &rows)
			if full := node.ReadOnly; full != (err != nil) {
				t.Errorf("full %t, and an insertion: %v", full, err)
			}
			if err != nil {
				return
			}
			if err := c.Client().Barrier(t.Context()); err != nil {
				t.Error(err)
			}
			n := 0
			if err := c.Client().Query(t.Context(), vlogs.Query{Text: "*"}, func([]vlogs.Field) error { n++; return nil }); err != nil || n != 1 {
				t.Errorf("%d rows, %v", n, err)
			}
		})
	}
}
