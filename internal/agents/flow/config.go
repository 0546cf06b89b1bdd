package flow

import (
	_ "embed"
	"time"

	"golang.org/x/net/bpf"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/config"
	flowbpf "github.com/amoskys/amoskys/internal/flow/bpf"
	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/findings"
	"github.com/amoskys/amoskys/internal/flow/geo"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/ring"
)

// Defaults that the definition and the configuration share.
const (
	defaultID       = "flow_agent"
	defaultPort     = 50004
	defaultInterval = 60
)

// blocksPerMB is how many blocks of a capture ring make 1 MiB.
const blocksPerMB = 2

// Config is what users write in flowagent_config.yaml.
type Config struct {
	agent.Common `yaml:",inline"`
	Capture      Capture         `yaml:"capture"`
	Aggregation  Aggregation     `yaml:"aggregation"`
	Enrichment   Enrichment      `yaml:"enrichment"`
	Collect      Collect         `yaml:"collect"`
	Export       Export          `yaml:"export"`
	Findings     findings.Config `yaml:"findings"`
	Packets      Packets         `yaml:"packets"`
	Geo          geo.Config      `yaml:"geo"`
}

// Packets says which packets are kept on disk, to be saved as a file when somebody asks.
type Packets struct {
	RingMB     int    `yaml:"ring_mb"`     // 0 keeps none
	Path       string `yaml:"path"`        // empty is the agent's data folder
	SnapLength int    `yaml:"snap_length"` // bytes kept of each frame
}

// Capture says which frames are looked at.
type Capture struct {
	Interface        string `yaml:"interface"`
	BPFFilter        string `yaml:"bpf_filter"`
	PacketBufferSize int    `yaml:"packet_buffer_size"` // bytes kept of each frame
	RingMB           int    `yaml:"ring_mb"`            // of each source
	Promiscuous      bool   `yaml:"promiscuous"`
	Fanout           int    `yaml:"fanout"`
}

// Aggregation says how frames become flows, and which of these are told.
type Aggregation struct {
	TimeoutSeconds    float64 `yaml:"timeout_seconds"`
	MinBytesThreshold uint64  `yaml:"min_bytes_threshold"`
	MaxFlows          int     `yaml:"max_flows"`
	TrackVLANs        bool    `yaml:"track_vlans"`
	CommunityIDSeed   int     `yaml:"community_id_seed"`
	// OwnScans tells flows of the probes of scans that run on this host, and looks for
	// findings in them.
	OwnScans bool `yaml:"own_scans"`
}

// Enrichment says what is added to flows that is not in their packets.
type Enrichment struct {
	Processes bool `yaml:"processes"`
	Hostnames bool `yaml:"hostnames"`
}

// DefaultConfig returns the configuration that applies where the file is silent.
func DefaultConfig() Config {
	return Config{
		Common:      agent.DefaultCommon(defaultID, defaultPort, defaultInterval),
		Capture:     Capture{Interface: capture.Auto, PacketBufferSize: capture.DefaultSnap, RingMB: 4, Fanout: 1},
		Aggregation: Aggregation{TimeoutSeconds: 30, MinBytesThreshold: 10, MaxFlows: 200_000},
		Enrichment:  Enrichment{Processes: true, Hostnames: true},
		Collect:     defaultCollect(),
		Export:      defaultExport(),
		Findings:    findings.DefaultConfig(),
		Packets:     Packets{SnapLength: capture.DefaultSnap},
	}
}

// WorksWithoutPrivileges implements agent.Undemanding: collecting needs none, so that
// where it is wanted the agent runs although it may not capture.
func (c *Config) WorksWithoutPrivileges() bool { return c.collects() }

// Validate reports every rule that c breaks.
func (c *Config) Validate(v *config.Check) {
	c.Common.Validate(v)
	in := v.Under("capture")
	in.NotEmpty("interface", c.Capture.Interface)
	in.Range("packet_buffer_size", c.Capture.PacketBufferSize, 64, capture.MaxSnap)
	in.Range("ring_mb", c.Capture.RingMB, 1, 1024)
	in.Range("fanout", c.Capture.Fanout, 1, 64)
	if _, err := c.Capture.program(packet.LinkEthernet); err != nil {
		in.Add("bpf_filter", "%s", err)
	}
	flows := v.Under("aggregation")
	flows.RangeFloat("timeout_seconds", c.Aggregation.TimeoutSeconds, 0.1, 86400)
	flows.Range("max_flows", c.Aggregation.MaxFlows, 100, 10_000_000)
	c.Findings.Validate(v.Under("findings"))
	c.Collect.validate(v.Under("collect"))
	c.Export.validate(v.Under("export"))
	if !c.captures() && !c.collects() {
		in.Add("interface", "is none, and collect.listen is empty: the agent would do nothing")
	}
	flows.Range("community_id_seed", c.Aggregation.CommunityIDSeed, 0, 65535)
	kept := v.Under("packets")
	if c.Packets.RingMB != 0 {
		kept.Range("ring_mb", c.Packets.RingMB, ring.LeastBytes>>20, 1<<20)
	}
	kept.Range("snap_length", c.Packets.SnapLength, 64, capture.MaxSnap)
}

// program compiles the filter for a link type; nil takes all.
func (c *Capture) program(link packet.Link) ([]bpf.RawInstruction, error) {
	return flowbpf.Compile(c.BPFFilter, link, uint32(max(0, c.PacketBufferSize)))
}

// options are those of the sources.
func (c *Capture) options() capture.Options {
	o := capture.Options{
		Interface: c.Interface, Snap: c.PacketBufferSize, Blocks: c.RingMB * blocksPerMB,
		Fanout: c.Fanout, Promiscuous: c.Promiscuous,
	}
	if c.BPFFilter != "" {
		o.Filter = c.program
	}
	return o
}

// timeout is after what silence a flow ends.
func (a *Aggregation) timeout() time.Duration {
	return time.Duration(a.TimeoutSeconds * float64(time.Second))
}

//go:embed flowagent_config.yaml
var configTemplate string

// ConfigTemplate returns the commented file that decodes to DefaultConfig.
func ConfigTemplate() []byte {
	return agent.Template(configTemplate, defaultPort, defaultInterval)
}

// Definition describes the agent to the runtime.
func Definition() agent.Definition {
	return agent.Define(agent.Definition{
		Kind: "flow", ID: defaultID, Port: defaultPort, ConfigName: "flowagent",
		Summary:    "network flows of this host: who talks to whom, by which protocol and process",
		Template:   ConfigTemplate,
		Tasks:      tasks(),
		Privileges: []string{"CAP_NET_RAW"},
		// To see which sockets other users' processes have.
		Uses: []string{"CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"},
	}, DefaultConfig, func(cfg Config, o agent.Options) (agent.Agent, error) { return New(cfg, o) })
}
