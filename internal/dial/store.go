package dial

import (
	"github.com/amoskys/amoskys/internal/config"
)

// StoreConfig is the section store of who asks a store: where it is. The way there and
// the certificate that is shown are those of the section hub.
type StoreConfig struct {
	Host       string `yaml:"host" env:"STORE_HOST"`
	Port       int    `yaml:"port" env:"STORE_PORT"`
	ServerName string `yaml:"server_name"` // empty: Host
}

// DefaultStore is the store of this machine.
func DefaultStore() StoreConfig { return StoreConfig{Host: "localhost", Port: 5002} }

// StoreSection is the text of the section store as [DefaultStore] gives it.
func StoreSection() config.Section {
	return config.Section{Name: "store", Text: `# Where the store is, which is asked for events. STORE_HOST and STORE_PORT in the
# environment win. Certificates and proxy are those of hub.
store:
  host: localhost
  port: 5002
  # Name in the store's certificate, when it is not the host dialled.
  server_name: ""
`}
}

// Addr is the store's host:port.
func (s StoreConfig) Addr() string { return config.HostPort(s.Host, s.Port) }

// Name is the name that the store's certificate must carry.
func (s StoreConfig) Name() string {
	if s.ServerName != "" {
		return s.ServerName
	}
	return s.Host
}

// Validate reports every rule that s breaks; v names keys below store.
func (s StoreConfig) Validate(v *config.Check) {
	v.Host("host", s.Host)
	v.Range("port", s.Port, 1, 65535)
	if s.ServerName != "" {
		v.Host("server_name", s.ServerName)
	}
}
