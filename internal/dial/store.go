package dial

import (
	"fmt"
	"net"
	"strconv"

	"github.com/amoskys/amoskys/internal/config"
)

// StoreConfig is the section store of who asks a store: where it is. The way there and
// the certificate that is shown are those of the section hub.
type StoreConfig struct {
	Host       string `yaml:"host" env:"STORE_HOST"`
	Port       int    `yaml:"port" env:"STORE_PORT"`
	ServerName string `yaml:"server_name"` // empty: Host
	// Others are stores, as host:port, that are asked in turn while that one is away.
	Others []string `yaml:"others"`
}

// DefaultStore is the store of this machine.
func DefaultStore() StoreConfig {
	return StoreConfig{Host: "localhost", Port: 5002, Others: []string{}}
}

// StoreSection is the text of the section store as [DefaultStore] gives it.
func StoreSection() config.Section {
	return config.Section{Name: "store", Text: `# Where the store is, which is asked for events. STORE_HOST and STORE_PORT in the
# environment win. Certificates and proxy are those of hub.
store:
  host: localhost
  port: 5002
  # Name in the store's certificate, when it is not the host dialled.
  server_name: ""
  # Stores that are asked in turn while that one is away, such as store-2:5002. Their
  # certificates carry their own names.
  others: []
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

// All are the stores to ask, the first one first: each with its address alone.
func (s StoreConfig) All() []StoreConfig {
	all := []StoreConfig{s}
	for _, other := range s.Others {
		if host, port, err := splitStore(other); err == nil {
			all = append(all, StoreConfig{Host: host, Port: port})
		}
	}
	return all
}

func splitStore(text string) (host string, port int, err error) {
	host, digits, err := net.SplitHostPort(text)
	if err == nil {
		port, err = strconv.Atoi(digits)
	}
	return host, port, err //nolint:wrapcheck // the caller says what it is
}

// Validate reports every rule that s breaks; v names keys below store.
func (s StoreConfig) Validate(v *config.Check) {
	v.Host("host", s.Host)
	v.Range("port", s.Port, 1, 65535)
	for i, other := range s.Others {
		key := fmt.Sprintf("others[%d]", i)
		host, port, err := splitStore(other)
		if err != nil {
			v.Add(key, "must be host:port, such as store-2.example.org:5002, and is %q", other)
			continue
		}
		v.Host(key, host)
		v.Range(key, port, 1, 65535)
	}
	if s.ServerName != "" {
		v.Host("server_name", s.ServerName)
	}
}
