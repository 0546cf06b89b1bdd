package snmp_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/play"
	"github.com/amoskys/amoskys/internal/snmp/snmptest"
)

const (
	authPassword    = "correct horse battery"
	privacyPassword = "staple it to the wall"
)

func user(auth snmp.Auth, privacy snmp.Privacy) snmp.Credential {
	c := snmp.Credential{Version: snmp.V3, User: "monitor", Auth: auth, Privacy: privacy}
	if auth != snmp.NoAuth {
		c.AuthPassword = authPassword
	}
	if privacy != snmp.NoPrivacy {
		c.PrivacyPassword = privacyPassword
	}
	return c
}

func secured(t *testing.T, at, with snmp.Credential, edit func(*snmp.Target)) (*play.Device, *snmp.Client) {
	t.Helper()
	d := play.NewDevice("", snmptest.Load(t, small))
	d.Users = []snmp.Credential{at}
	_, addr := snmptest.Start(t, d)
	return d, open(t, addr, func(target *snmp.Target) {
		target.Credential, target.Timeout = with, 5*time.Second
		if edit != nil {
			edit(target)
		}
	})
}

func TestVersion3(t *testing.T) {
	t.Parallel()
	for _, c := range []snmp.Credential{
		user(snmp.NoAuth, snmp.NoPrivacy),
		user(snmp.MD5, snmp.NoPrivacy), user(snmp.SHA, snmp.NoPrivacy), user(snmp.SHA224, snmp.NoPrivacy),
		user(snmp.SHA256, snmp.NoPrivacy), user(snmp.SHA384, snmp.NoPrivacy), user(snmp.SHA512, snmp.NoPrivacy),
		user(snmp.MD5, snmp.DES), user(snmp.SHA, snmp.AES), user(snmp.SHA256, snmp.DES), user(snmp.SHA512, snmp.AES),
		user(snmp.SHA, snmp.AES192), user(snmp.SHA, snmp.AES256), user(snmp.SHA256, snmp.AES256),
		user(snmp.SHA, snmp.AES192Cisco), user(snmp.SHA, snmp.AES256Cisco), user(snmp.MD5, snmp.AES256Cisco),
	} {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			d, client := secured(t, c, c, nil)
			lines, err := walked(t.Context(), client, "1.3.6")
			if err != nil || len(lines) != 18 {
				t.Fatalf("%d variables, %v", len(lines), err)
			}
			if string(client.Engine()) != string(d.Engine) {
				t.Errorf("engine %x, want %x", client.Engine(), d.Engine)
			}
		})
	}
}

func TestVersion3SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	at := user(snmp.SHA, snmp.AES)
	for name, test := range map[string]struct {
		edit  func(*snmp.Credential)
		cause error
	}{
		"user":     {func(c *snmp.Credential) { c.User = "somebody" }, snmp.ErrUser},
		"password": {func(c *snmp.Credential) { c.AuthPassword = "incorrect horse" }, snmp.ErrPassword},
		"protocol": {func(c *snmp.Credential) { c.Auth = snmp.SHA256 }, snmp.ErrPassword},
		"privacy":  {func(c *snmp.Credential) { c.PrivacyPassword = "nailed to the wall" }, snmp.ErrPrivacy},
		"cipher":   {func(c *snmp.Credential) { c.Privacy = snmp.AES256 }, snmp.ErrPrivacy},
		"level":    {func(c *snmp.Credential) { *c = user(snmp.SHA, snmp.NoPrivacy) }, snmp.ErrLevel},
		"open":     {func(c *snmp.Credential) { *c = user(snmp.NoAuth, snmp.NoPrivacy) }, snmp.ErrLevel},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			with := at
			test.edit(&with)
			d, c := secured(t, at, with, func(target *snmp.Target) { target.Retries = 5 })
			_, err := c.Get(t.Context(), system+".3.0")
			if !errors.Is(err, test.cause) || !snmp.Refused(err) {
				t.Fatalf("got %v, want %v", err, test.cause)
			}
			for _, secret := range []string{authPassword, privacyPassword, "incorrect horse", "nailed"} {
				if strings.Contains(fmt.Sprintf("%+v %#v", err, with), secret) {
					t.Errorf("%v has a password in it", err)
				}
			}
			// One message with what is wrong is all that the device gets to see of
			// it: more would lock the user out. The first asks for the engine's id.
			if sent := c.Counts().Requests; sent != 2 {
				t.Errorf("%d messages were sent", sent)
			}
			if d.Asked() != 0 {
				t.Error("the device let it in")
			}
		})
	}
}

func TestEngineIsAskedAnew(t *testing.T) {
	t.Parallel()
	for _, credential := range []snmp.Credential{user(snmp.SHA, snmp.NoPrivacy), user(snmp.SHA256, snmp.AES)} {
		t.Run(credential.String(), func(t *testing.T) {
			t.Parallel()
			d, c := secured(t, credential, credential, nil)
			for _, by := range []time.Duration{0, time.Hour, -30 * time.Minute} {
				d.Skew(by)
				got, err := c.Get(t.Context(), system+".5.0")
				if err != nil || got[0].Text() != "sw-1" {
					t.Fatalf("after %s: %v, %v", by, got, err)
				}
			}
		})
	}
}
