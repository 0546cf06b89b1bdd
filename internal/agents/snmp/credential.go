package snmp

import (
	"errors"
	"fmt"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/snmp"
)

// credential opens devices. Its name says where the configuration has it, such as
// "snmp.communities[0]", and stands for it wherever something is shown or kept.
type credential struct {
	name string
	snmp.Credential
}

// credentials are all of the configuration, in the order in which they are tried: those of
// the version that it names first. Those that cannot be read are left out, and the error
// says why.
func (s *SNMP) credentials(home config.Home) ([]credential, error) {
	var out []credential
	var faults []error
	add := func(name string, c snmp.Credential, err error) {
		if err == nil {
			err = c.Check()
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
			return
		}
		out = append(out, credential{name, c})
	}
	version := snmp.V2c
	if s.Version == "1" {
		version = snmp.V1
	}
	community := func(name string, secret config.Secret) {
		text, err := secret.RevealIn(home)
		add(name, snmp.Credential{Version: version, Community: text}, err)
	}
	user := func(name string, v3 V3Credentials) {
		if v3.Username != "" {
			c, err := v3.reveal(home)
			add(name, c, err)
		}
	}
	users := func() {
		user("snmp.v3_credentials", s.V3Credentials)
		for i, v3 := range s.Credentials {
			user(fmt.Sprintf("snmp.credentials[%d]", i), v3)
		}
	}
	if s.Version == "3" {
		users()
	} else if s.Community != "" {
		community("snmp.community", s.Community)
	}
	for i, c := range s.Communities {
		community(fmt.Sprintf("snmp.communities[%d]", i), c)
	}
	if s.Version != "3" {
		users()
	}
	return out, errors.Join(faults...)
}

// reveal reads the secrets. Without a password its protocol is not used.
func (c *V3Credentials) reveal(home config.Home) (snmp.Credential, error) {
	out := snmp.Credential{Version: snmp.V3, User: c.Username, Context: c.ContextName}
	auth, authErr := c.AuthPassword.RevealIn(home)
	privacy, privacyErr := c.PrivacyPassword.RevealIn(home)
	if err := errors.Join(authErr, privacyErr); err != nil {
		return out, fmt.Errorf("user %s: %w", c.Username, err)
	}
	switch { // a reference to nothing is not to ask unproven or in the clear
	case auth == "" && c.AuthPassword != "":
		return out, fmt.Errorf("user %s: what auth_password refers to is empty", c.Username)
	case privacy == "" && c.PrivacyPassword != "":
		return out, fmt.Errorf("user %s: what privacy_password refers to is empty", c.Username)
	}
	var err error
	if auth != "" {
		out.AuthPassword = auth
		if out.Auth, err = snmp.ParseAuth(c.AuthProtocol); err != nil {
			return out, fmt.Errorf("user %s: %w", c.Username, err)
		}
	}
	if privacy != "" {
		out.PrivacyPassword = privacy
		if out.Privacy, err = snmp.ParsePrivacy(c.PrivacyProtocol); err != nil {
			return out, fmt.Errorf("user %s: %w", c.Username, err)
		}
	}
	return out, nil
}

// credential returns that of a name.
func (a *Agent) credential(name string) (credential, bool) {
	for _, c := range a.credentials {
		if c.name == name {
			return c, true
		}
	}
	return credential{}, false
}

// isPublic says that everybody knows a community: it is what makers deliver with.
func (c *credential) isPublic() bool {
	return c.Version != snmp.V3 && (c.Community == "public" || c.Community == "private")
}

// opening are credentials without their names.
func opening(list []credential) []snmp.Credential {
	out := make([]snmp.Credential, len(list))
	for i := range list {
		out[i] = list[i].Credential
	}
	return out
}
