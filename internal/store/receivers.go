package store

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/metrics/promapi"
)

// ReceiverConfig is what receivers of readings have in common.
type ReceiverConfig struct {
	Name        string        `yaml:"name"` // in metrics and logs; empty: the host of the address
	Username    string        `yaml:"username"`
	Password    config.Secret `yaml:"password"`
	BearerToken config.Secret `yaml:"bearer_token"`
	// Headers are sent with each request.
	Headers map[string]config.Secret `yaml:"headers"`
	CACert  string                   `yaml:"ca_cert"` // empty: those of the system
	// Match are selectors of series; empty: all.
	Match []string `yaml:"match"`
	// Labels are added to each series.
	Labels         map[string]string `yaml:"labels"`
	TimeoutSeconds float64           `yaml:"timeout_seconds"` // 0: 30
}

// RemoteWriteConfig is a receiver of Prometheus' remote write.
type RemoteWriteConfig struct {
	URL     string `yaml:"url"`
	Version int    `yaml:"version"` // 1 or 2; 0 is 1

	ReceiverConfig `yaml:",inline"`
}

// OTLPConfig is a receiver of OTLP metrics over HTTP.
type OTLPConfig struct {
	Endpoint string `yaml:"endpoint"`

	ReceiverConfig `yaml:",inline"`
}

// Address is where metrics are posted: an endpoint without a path gets /v1/metrics, as the
// specification has it.
func (o *OTLPConfig) Address() string {
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Path != "" && u.Path != "/" {
		return o.Endpoint
	}
	u.Path = "/v1/metrics"
	return u.String()
}

// maxReceivers bounds the receivers of each kind: each keeps the series of the database in
// memory.
const maxReceivers = 8

func (c *Config) validateReceivers(v *config.Check) {
	names := map[string]bool{}
	if len(c.RemoteWrite)+len(c.OTLP) > maxReceivers {
		v.Add("remote_write", "has with otlp more than %d receivers", maxReceivers)
	}
	for i := range c.RemoteWrite {
		r := &c.RemoteWrite[i]
		under := v.Under(fmt.Sprintf("remote_write[%d]", i))
		if r.Version < 0 || r.Version > 2 {
			under.Add("version", "is 1 or 2, not %d", r.Version)
		}
		validateAddress(under, "url", r.URL)
		r.validate(under, r.Title(r.URL), names)
	}
	for i := range c.OTLP {
		r := &c.OTLP[i]
		under := v.Under(fmt.Sprintf("otlp[%d]", i))
		validateAddress(under, "endpoint", r.Endpoint)
		r.validate(under, r.Title(r.Endpoint), names)
	}
}

// Title is how a receiver is called.
func (r *ReceiverConfig) Title(address string) string {
	if r.Name != "" {
		return r.Name
	}
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.Map(func(c rune) rune {
		if c == '/' || c == '\\' || c == ':' || c == '[' || c == ']' {
			return '_'
		}
		return c
	}, u.Host)
}

func validateAddress(v *config.Check, key, address string) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		v.Add(key, "must begin with http:// or https:// and name a host, such as https://metrics.example.org/api/v1/write")
	case u.User != nil:
		v.Add(key, "holds a user or a password: put them in username and password")
	}
}

func (r *ReceiverConfig) validate(v *config.Check, title string, names map[string]bool) {
	if r.Name != "" {
		v.Name("name", r.Name)
	}
	if title != "" && names[title] {
		v.Add("name", "%s is the name of another receiver, too: give each its own", title)
	}
	names[title] = true
	if r.BearerToken != "" && (r.Username != "" || r.Password != "") {
		v.Add("bearer_token", "is given beside username and password: one of them")
	}
	v.RangeFloat("timeout_seconds", r.TimeoutSeconds, 0, 300)
	for i, text := range r.Match {
		if _, err := promapi.ParseSelector(text); err != nil {
			v.Add(fmt.Sprintf("match[%d]", i), "is no selector of series: %v", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Labels)) {
		if !isLabelName(name) {
			v.Add("labels."+name, "is no name of a label: letters, digits and _")
		}
	}
}

func isLabelName(name string) bool {
	return name != "" && !strings.HasPrefix(name, "__") && !strings.ContainsFunc(name, func(c rune) bool {
		return c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9')
	}) && (name[0] < '0' || name[0] > '9')
}

// Timeout is how long a request may take.
func (r *ReceiverConfig) Timeout() time.Duration {
	if r.TimeoutSeconds == 0 {
		return 30 * time.Second
	}
	return time.Duration(r.TimeoutSeconds * float64(time.Second))
}
