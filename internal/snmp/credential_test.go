package snmp_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/snmp"
)

func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	for _, c := range []snmp.Credential{
		{Community: "s3cret community"},
		{Version: snmp.V3, User: "monitor", Auth: snmp.SHA, AuthPassword: "s3cret auth", Privacy: snmp.AES, PrivacyPassword: "s3cret privacy"},
	} {
		var out bytes.Buffer
		slog.New(slog.NewJSONHandler(&out, nil)).Info("opened", "credential", c, "target", snmp.Target{Credential: c})
		encoded, err := json.Marshal(snmp.Target{Credential: c})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s %v %+v %#v %s %q %x %+v", encoded, c, c, c, c, c, c, snmp.Target{Credential: c})
		if strings.Contains(out.String(), "s3cret") || strings.Contains(out.String(), fmt.Sprintf("%x", "s3cret")) {
			t.Errorf("a secret is printed: %s", out.String())
		}
	}
}

func TestCredentialIsChecked(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]snmp.Credential{
		"":                        {Community: "public"},
		"need a community":        {},
		"longer than 127":         {Community: strings.Repeat("x", 128)},
		"needs a user":            {Version: snmp.V3},
		"longer than 32":          {Version: snmp.V3, User: strings.Repeat("x", 33)},
		"it is 1, 2c or 3":        {Version: "4", Community: "public"},
		"less than 8 bytes":       {Version: snmp.V3, User: "monitor", Auth: snmp.MD5, AuthPassword: "short"},
		"for privacy has less":    {Version: snmp.V3, User: "monitor", Auth: snmp.MD5, AuthPassword: "long enough", Privacy: snmp.DES},
		"needs authentication":    {Version: snmp.V3, User: "monitor", Privacy: snmp.DES, PrivacyPassword: "long enough"},
		"authentication protocol": {Version: snmp.V3, User: "monitor", Auth: "ROT13", AuthPassword: "long enough"},
	} {
		err := c.Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestProtocolsAreReadInAnySpelling(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]snmp.Auth{"": snmp.NoAuth, "none": snmp.NoAuth, "sha": snmp.SHA, "SHA1": snmp.SHA, "sha-256": snmp.SHA256, "Sha_512": snmp.SHA512, "md5": snmp.MD5} {
		if got, err := snmp.ParseAuth(text); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]snmp.Privacy{"": snmp.NoPrivacy, "aes": snmp.AES, "AES-128": snmp.AES, "aes256": snmp.AES256, "AES-256-C": snmp.AES256Cisco, "aes192c": snmp.AES192Cisco, "Des": snmp.DES} {
		if got, err := snmp.ParsePrivacy(text); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]snmp.Version{"1": snmp.V1, "2c": snmp.V2c, "v3": snmp.V3, "2": snmp.V2c} {
		if got, err := snmp.ParseVersion(text); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
