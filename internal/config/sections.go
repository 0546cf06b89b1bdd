package config

import (
	"net"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/obs"
)

// Section is the text of a part that several configuration templates share.
type Section struct {
	Name string // as in "#include NAME"
	Text string // ends with a line break
}

// Template writes a commented default file: each line "#include NAME" of text
// becomes the section of that name. That a section is missing, or not included, is
// a programmer's error.
func Template(text string, sections ...Section) []byte {
	for _, s := range sections {
		line := "#include " + s.Name + "\n"
		if strings.Count(text, line) != 1 {
			panic("config: a template needs one line " + strings.TrimSpace(line))
		}
		text = strings.Replace(text, line, s.Text, 1)
	}
	if strings.Contains(text, "\n#include ") {
		panic("config: a template includes an unknown section")
	}
	return []byte(text)
}

// LoggingConfig is the section logging: what a process writes to its log file.
type LoggingConfig struct {
	Level string `yaml:"level"`
}

// DefaultLogging is the section where the file is silent.
func DefaultLogging() LoggingConfig { return LoggingConfig{Level: "INFO"} }

// LoggingSection is the text of the section logging as [DefaultLogging] gives it.
func LoggingSection() Section {
	return Section{Name: "logging", Text: `logging:
  # DEBUG, INFO, WARNING, ERROR or CRITICAL
  level: INFO
`}
}

// Validate reports every rule that l breaks; v names keys below logging.
func (l LoggingConfig) Validate(v *Check) {
	if _, err := obs.ParseLevel(l.Level); err != nil {
		v.OneOf("level", strings.ToUpper(l.Level), obs.LevelNames()...)
	}
}

// HTTPConfig is the section http: where a process tells about itself.
type HTTPConfig struct {
	Host string `yaml:"host"`
	Port int    `yaml:"port"`
}

// Validate reports every rule that h breaks; v names keys below http.
func (h HTTPConfig) Validate(v *Check) {
	v.Host("host", h.Host)
	v.Port("port", h.Port)
}

// Addr is host:port.
func (h HTTPConfig) Addr() string { return HostPort(h.Host, h.Port) }

// HostPort joins a host, which may have brackets, and a port.
func HostPort(host string, port int) string {
	return net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(port))
}
