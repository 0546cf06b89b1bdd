package dial

import (
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
)

// HubConfig is the section hub of a configuration: where the hub is, the way there
// and how this process proves who it is. Files are relative to the home folder.
type HubConfig struct {
	Host       string `yaml:"host" env:"EVENTBUS_HOST"`
	Port       int    `yaml:"port" env:"EVENTBUS_PORT"`
	ServerName string `yaml:"server_name"` // empty: Host
	Proxy      Proxy  `yaml:"proxy"`
	CACert     string `yaml:"ca_cert"`
	CertFile   string `yaml:"cert_file"`
	KeyFile    string `yaml:"key_file"`
}

// DefaultHub is the hub of this machine, for the certificate NAME.crt in certs/.
func DefaultHub(name string) HubConfig {
	return HubConfig{
		Host: "localhost", Port: 5000,
		CACert: "certs/ca.crt", CertFile: "certs/" + name + ".crt", KeyFile: "certs/" + name + ".key",
	}
}

// HubSection is the text of the section hub as [DefaultHub] gives it. Further keys
// of the section may follow it.
func HubSection(name string) config.Section {
	return config.Section{Name: "hub", Text: `# Where the hub is and who we are to it. EVENTBUS_HOST and EVENTBUS_PORT in the
# environment win.
hub:
  host: localhost
  port: 5000
  # Name in the hub's certificate, when it is not the host dialled.
  server_name: ""
  # Empty: as HTTPS_PROXY and NO_PROXY of the environment say. Else none, or the URL
  # of a proxy, or env:NAME or file:PATH for one that holds a password. A hub on
  # this machine is always dialled straight.
  proxy: ""
  ca_cert: certs/ca.crt
  cert_file: certs/` + name + `.crt
  key_file: certs/` + name + `.key
`}
}

// Addr is the hub's host:port.
func (h HubConfig) Addr() string { return config.HostPort(h.Host, h.Port) }

// Name is the name that the hub's certificate must carry.
func (h HubConfig) Name() string {
	if h.ServerName != "" {
		return h.ServerName
	}
	return h.Host
}

// Files are the certificate files under home.
func (h HubConfig) Files(home config.Home) identity.Files {
	return identity.Files{CA: home.Path(h.CACert), Cert: home.Path(h.CertFile), Key: home.Path(h.KeyFile)}
}

// Dialer is the way to the hub.
func (h HubConfig) Dialer(home config.Home) (*Dialer, error) { return New(h.Proxy, home) }

// Validate reports every rule that h breaks; v names keys below hub.
func (h HubConfig) Validate(v *config.Check) {
	h.ValidateAddr(v)
	v.NotEmpty("ca_cert", h.CACert)
	v.NotEmpty("cert_file", h.CertFile)
	v.NotEmpty("key_file", h.KeyFile)
}

// ValidateAddr is Validate without the certificate files, for who needs none.
func (h HubConfig) ValidateAddr(v *config.Check) {
	v.Host("host", h.Host)
	v.Range("port", h.Port, 1, 65535)
	if h.ServerName != "" {
		v.Host("server_name", h.ServerName)
	}
	h.Proxy.validate(v, "proxy")
}
