package findings

import (
	"fmt"

	"github.com/amoskys/amoskys/internal/config"
)

// BeaconConfig says what a beacon is.
type BeaconConfig struct {
	// Connections is how many of a pair are needed, 4 to 24.
	Connections int `yaml:"connections"`
	// MinIntervalSeconds is the median between them at least.
	MinIntervalSeconds int `yaml:"min_interval_seconds"`
	// MaxJitter is the median absolute deviation of the intervals as a share of their
	// median, MaxSizeSpread the same of the bytes sent.
	MaxJitter     float64 `yaml:"max_jitter"`
	MaxSizeSpread float64 `yaml:"max_size_spread"`
	// Internal looks at destinations in internal networks too.
	Internal bool `yaml:"internal"`
}

// TunnelConfig says when names carry data.
type TunnelConfig struct {
	WindowSeconds int `yaml:"window_seconds"`
	// Names is how many distinct names below one registered domain one source asked
	// for, MeanLength how many characters stand before that domain, EntropyBits how
	// even those are, in bits a character.
	Names       int     `yaml:"names"`
	MeanLength  int     `yaml:"mean_length"`
	EntropyBits float64 `yaml:"entropy_bits"`
	// TrustedDomains may have such names: those of virus scanners and block lists.
	TrustedDomains []string `yaml:"trusted_domains"`
}

// DGAConfig says when domains look made up.
type DGAConfig struct {
	WindowSeconds int `yaml:"window_seconds"`
	// Domains is how many registered domains that do not exist were asked for,
	// MissingShare their share of all answers, Randomness how little they look like
	// words in the mean, 0 to 1.
	Domains      int     `yaml:"domains"`
	MissingShare float64 `yaml:"missing_share"`
	Randomness   float64 `yaml:"randomness"`
}

// UploadConfig says what is much.
type UploadConfig struct {
	WindowSeconds int `yaml:"window_seconds"`
	// LearnWindows is after how many windows the mean of a source is trusted.
	LearnWindows int `yaml:"learn_windows"`
	// MinMegabytes and Factor times the mean must both be passed then;
	// UnlearntMegabytes before. A megabyte is 1,000,000 bytes.
	MinMegabytes      int     `yaml:"min_megabytes"`
	Factor            float64 `yaml:"factor"`
	UnlearntMegabytes int     `yaml:"unlearnt_megabytes"`
}

// DestinationConfig says how long whom a host speaks to is learnt.
type DestinationConfig struct {
	Enabled    bool `yaml:"enabled"`
	LearnHours int  `yaml:"learn_hours"`
}

// TrafficConfig says when a capture sees too little.
type TrafficConfig struct {
	// WindowSeconds is how long nothing, or nothing of use, must come.
	WindowSeconds int `yaml:"window_seconds"`
	// MinFrames is how many frames without a conversation are needed in it, and
	// MinConnections how many connections of which one direction was seen.
	MinFrames      int `yaml:"min_frames"`
	MinConnections int `yaml:"min_connections"`
}

// validateHabits reports the rules of what shows in time that c breaks.
func (c *Config) validateHabits(v *config.Check) {
	b := v.Under("beacon")
	b.Range("connections", c.Beacon.Connections, 4, beats)
	b.Range("min_interval_seconds", c.Beacon.MinIntervalSeconds, 1, day)
	b.RangeFloat("max_jitter", c.Beacon.MaxJitter, 0, 1)
	b.RangeFloat("max_size_spread", c.Beacon.MaxSizeSpread, 0, 10)
	t := v.Under("dns_tunnel")
	t.Range("window_seconds", c.DNSTunnel.WindowSeconds, 1, 7*day)
	t.Range("names", c.DNSTunnel.Names, 3, 1000)
	t.Range("mean_length", c.DNSTunnel.MeanLength, 1, 250)
	t.RangeFloat("entropy_bits", c.DNSTunnel.EntropyBits, 0, 6)
	for i, d := range c.DNSTunnel.TrustedDomains {
		t.NotEmpty(fmt.Sprintf("trusted_domains[%d]", i), d)
	}
	g := v.Under("generated_domains")
	g.Range("window_seconds", c.DGA.WindowSeconds, 1, 7*day)
	g.Range("domains", c.DGA.Domains, 3, 1000)
	g.RangeFloat("missing_share", c.DGA.MissingShare, 0, 1)
	g.RangeFloat("randomness", c.DGA.Randomness, 0, 1)
	u := v.Under("upload")
	u.Range("window_seconds", c.Upload.WindowSeconds, 60, 7*day)
	u.Range("learn_windows", c.Upload.LearnWindows, 1, maxSpans)
	u.Range("min_megabytes", c.Upload.MinMegabytes, 1, 1_000_000_000)
	u.RangeFloat("factor", c.Upload.Factor, 1, 1e6)
	u.Range("unlearnt_megabytes", c.Upload.UnlearntMegabytes, 1, 1_000_000_000)
	v.Under("new_destinations").Range("learn_hours", c.NewDestinations.LearnHours, 1, 24*365)
	r := v.Under("traffic")
	r.Range("window_seconds", c.Traffic.WindowSeconds, 10, 7*day)
	r.Range("min_frames", c.Traffic.MinFrames, 1, 1_000_000_000)
	r.Range("min_connections", c.Traffic.MinConnections, 1, 1_000_000_000)
}
