package spans

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"

	"github.com/amoskys/amoskys/internal/config"
)

// Config is the section otel of a configuration: where traces are sent.
type Config struct {
	// Endpoint takes OTLP over HTTP, such as http://localhost:4318; empty: no traces.
	Endpoint string `yaml:"endpoint"`
	// Headers are sent with each request.
	Headers map[string]config.Secret `yaml:"headers"`
	CACert  string                   `yaml:"ca_cert"` // empty: those of the system
}

// SourceConfig is Config of a process in which traces begin.
type SourceConfig struct {
	Config `yaml:",inline"`

	// SampleRatio is the part of what begins here that is recorded, 0 to 1.
	SampleRatio float64 `yaml:"sample_ratio"`
}

// Default is the section where the file is silent: no traces.
func Default() Config { return Config{Headers: map[string]config.Secret{}} }

// DefaultSource is Default with a part of what begins here.
func DefaultSource(ratio float64) SourceConfig {
	return SourceConfig{Config: Default(), SampleRatio: ratio}
}

// Section is the text of the section otel as [Default] gives it.
func Section() config.Section {
	return config.Section{Name: "otel", Text: `# Traces of OpenTelemetry, as OTLP over HTTP. Without an endpoint there are none, and they
# cost nothing. docs/tracing.md
otel:
  # A collector, such as http://localhost:4318; /v1/traces is added where there is no path.
  endpoint: ""
  # Sent with each request, such as {Authorization: "file:secrets/collector"}.
  headers: {}
  # Authorities of the collector's certificate; empty: those of the system.
  ca_cert: ""
`}
}

// SourceSection is the text of the section as [DefaultSource] gives it; what names what
// begins here.
func SourceSection(what string, ratio float64) config.Section {
	s := Section()
	s.Text += "  # The part of " + what + " that is recorded, 0 to 1.\n  sample_ratio: " + strconv.FormatFloat(ratio, 'f', -1, 64) + "\n"
	return s
}

// Validate reports every rule that c breaks; v names keys below otel.
func (c *Config) Validate(v *config.Check) {
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		if !isToken(name) {
			v.Add("headers", "%q is no name of a header", name)
		}
	}
	if c.Endpoint == "" {
		return
	}
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		v.Add("endpoint", "must begin with http:// or https:// and name a host, such as http://localhost:4318")
	case u.User != nil:
		v.Add("endpoint", "holds a user or a password: put them in headers, as Authorization")
	case u.Port() == "4317":
		v.Add("endpoint", "names port 4317, where collectors take OTLP over gRPC: over HTTP it is 4318")
	}
}

// Validate reports every rule that c breaks; v names keys below otel.
func (c *SourceConfig) Validate(v *config.Check) {
	c.Config.Validate(v)
	v.RangeFloat("sample_ratio", c.SampleRatio, 0, 1)
}

// isToken says whether a text is a token of RFC 9110, section 5.6.2, as names of headers
// are.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
		if !letter && !slices.Contains([]byte("!#$%&'*+-.^_`|~"), c) {
			return false
		}
	}
	return s != ""
}

// address is where traces are posted: an endpoint without a path gets /v1/traces, as the
// specification of OTLP has it.
func (c *Config) address() (string, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil {
		return "", fmt.Errorf("otel.endpoint: %w", err)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	return u.String(), nil
}
