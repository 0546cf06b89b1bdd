package trap

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/snmp"
)

// pairs are those of authentication and privacy that net-snmp sends with, three of them
// unless ALL_SNMP_PAIRS is set.
func pairs() []snmp.Credential {
	if os.Getenv("ALL_SNMP_PAIRS") == "" {
		return []snmp.Credential{
			{Auth: snmp.SHA, Privacy: snmp.AES}, {Auth: snmp.SHA224}, {Auth: snmp.SHA512, Privacy: snmp.AES256},
		}
	}
	var out []snmp.Credential
	for _, auth := range []snmp.Auth{snmp.MD5, snmp.SHA, snmp.SHA224, snmp.SHA256, snmp.SHA384, snmp.SHA512} {
		for _, privacy := range []snmp.Privacy{snmp.NoPrivacy, snmp.DES, snmp.AES, snmp.AES192, snmp.AES256} {
			out = append(out, snmp.Credential{Auth: auth, Privacy: privacy})
		}
	}
	return append(out, snmp.Credential{})
}

// TestNetSNMP: what net-snmp's snmptrap sends is taken in each pair of protocols, and its
// informs are confirmed as it wants them to be.
func TestNetSNMP(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts programs")
	}
	program, err := exec.LookPath("snmptrap")
	if err != nil {
		t.Skip("snmptrap is not there: install the Debian package snmp")
	}
	dir := t.TempDir()
	for i, c := range pairs() {
		c.Version, c.User = snmp.V3, fmt.Sprintf("user-%d", i)
		level := "noAuthNoPriv"
		args := []string{"-v3", "-u", c.User}
		if c.Auth != snmp.NoAuth {
			level, c.AuthPassword = "authNoPriv", "authpassword"
			args = append(args, "-a", string(c.Auth), "-A", c.AuthPassword)
		}
		if c.Privacy != snmp.NoPrivacy {
			level, c.PrivacyPassword = "authPriv", "privpassword"
			args = append(args, "-x", string(c.Privacy), "-X", c.PrivacyPassword)
		}
		args = append(args, "-l", level)
		for _, inform := range []bool{false, true} {
			got := sendBy(t, program, dir, NewReader([]snmp.Credential{c}, "test", time.Now, State{}), args, inform)
			if got.Name != LinkDown || got.Value(oidIfIndex) != "7" || got.Inform != inform || got.Verified != (c.Auth != snmp.NoAuth) || got.Version != "3" {
				t.Errorf("%s %s, inform %t: %+v", c.Auth, c.Privacy, inform, got)
			}
		}
	}
}

// sendBy has net-snmp send a trap to a reader and returns it. An inform has to be confirmed
// for its sender to end well.
func sendBy(t *testing.T, program, dir string, r *Reader, args []string, inform bool) Trap {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if inform {
		args = append([]string{"-Ci"}, args...)
	} else {
		args = append([]string{"-e", "0x80007ed905112233445566"}, args...)
	}
	args = append(args, "-r", "1", "-t", "5", "udp:"+conn.LocalAddr().String(), "12345", oidTraps+".3", oidIfIndex+".7", "i", "7")
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(cmd.Environ(), "SNMP_PERSISTENT_DIR="+dir, "SNMPCONFPATH="+dir, "MIBS=")
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var got Trap
	buf := make([]byte, 65535)
	for got.OID == "" {
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			_ = cmd.Wait()
			t.Errorf("%v: nothing came: %v\n%s", args, err, said.String())
			return got
		}
		var reply []byte
		if got, reply, err = r.Decode(buf[:n]); err != nil {
			t.Errorf("%v: %v", args, err)
			_ = cmd.Process.Kill()
			break
		}
		if reply != nil {
			if _, err := conn.WriteTo(reply, from); err != nil {
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil && !t.Failed() {
		t.Errorf("%v: %v\n%s", args, err, said.String())
	}
	return got
}
