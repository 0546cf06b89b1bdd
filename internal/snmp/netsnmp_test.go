package snmp_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/snmp"
)

// TestNetSNMPDevice: net-snmp's own agent lets us in with version 3, SHA-2 and AES, and
// says so of a wrong password at once.
func TestNetSNMPDevice(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a daemon")
	}
	daemon, err := exec.LookPath("/usr/sbin/snmpd")
	if err != nil {
		t.Skip("snmpd is not there: install the Debian package of that name")
	}
	users := []snmp.Credential{}
	var conf strings.Builder
	for _, p := range []struct {
		auth    snmp.Auth
		privacy snmp.Privacy
	}{{snmp.SHA, snmp.AES}, {snmp.SHA224, snmp.NoPrivacy}, {snmp.SHA256, snmp.AES}, {snmp.SHA384, snmp.AES192}, {snmp.SHA512, snmp.AES256}} {
		c := snmp.Credential{Version: snmp.V3, User: fmt.Sprintf("user-%d", len(users)), Auth: p.auth, AuthPassword: "authpassword", Privacy: p.privacy}
		line, level := fmt.Sprintf("createUser %s %s authpassword", c.User, c.Auth), "auth"
		if p.privacy != snmp.NoPrivacy {
			c.PrivacyPassword = "privpassword"
			line, level = line+fmt.Sprintf(" %s privpassword", c.Privacy), "priv"
		}
		fmt.Fprintf(&conf, "%s\nrouser %s %s .1\n", line, c.User, level)
		users = append(users, c)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "snmpd.conf")
	if err := os.WriteFile(file, []byte(conf.String()+"sysName edge-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(free.LocalAddr().String())
	_ = free.Close()
	cmd := exec.CommandContext(t.Context(), daemon, "-f", "-Lo", "-C", "-c", file, "-p", filepath.Join(dir, "pid"), "-I", "-smux", "udp:"+at.String())
	cmd.Env = append(cmd.Environ(), "SNMP_PERSISTENT_DIR="+dir, "MIBS=")
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	for i, c := range users {
		client, err := snmp.Open(t.Context(), snmp.Target{Addr: at, Credential: c, Timeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		var got []snmp.Variable
		tick := time.NewTicker(100 * time.Millisecond)
		for range 50 { // until it has started
			if got, err = client.Get(t.Context(), "1.3.6.1.2.1.1.5.0"); err == nil || i > 0 || !strings.Contains(err.Error(), snmp.ErrRefused.Error()) {
				break
			}
			<-tick.C
		}
		tick.Stop()
		if err != nil || got[0].Text() != "edge-1" {
			t.Errorf("%v: %v, %v", c, got, err)
		}
		client.Close()
	}
	wrong := users[2]
	wrong.AuthPassword = "anotherpassword"
	client, err := snmp.Open(t.Context(), snmp.Target{Addr: at, Credential: wrong, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err = client.Get(t.Context(), "1.3.6.1.2.1.1.5.0"); !snmp.Refused(err) {
		t.Errorf("a wrong password: %v", err)
	}
}
