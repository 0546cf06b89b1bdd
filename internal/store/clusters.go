package store

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/config"
)

// Engines that keep events.
const (
	VictoriaLogs        = "victorialogs"         // a process of the store's own
	Embedded            = "embedded"             // the same
	VictoriaLogsCluster = "victorialogs-cluster" // clusters that others run: store.clusters
)

// Clustered reports whether the events are kept by clusters.
func (k *KeepConfig) Clustered() bool { return k.Engine == VictoriaLogsCluster }

// mostClusters is how many copies of all events there may be.
const mostClusters = 4

// ClusterConfig is a cluster of VictoriaLogs, which holds a copy of all events.
type ClusterConfig struct {
	Name   string   `yaml:"name"`
	Select string   `yaml:"select"` // URL of a vlselect that knows all nodes
	Nodes  []string `yaml:"nodes"`  // URLs of the storage nodes
	// How the store shows who it is, to all of them.
	Username       string           `yaml:"username"`
	Password       config.Secret    `yaml:"password"`
	Bearer         config.Secret    `yaml:"bearer"`
	TLS            ClusterTLSConfig `yaml:"tls"`
	TimeoutSeconds int              `yaml:"timeout_seconds"` // for whatever is no query; 0: 30
}

// ClusterTLSConfig is about connections with https, by files relative to the home folder.
type ClusterTLSConfig struct {
	CACert     string `yaml:"ca_cert"`   // who may certify the servers; empty: whom the system trusts
	CertFile   string `yaml:"cert_file"` // what the store shows; empty: nothing
	KeyFile    string `yaml:"key_file"`
	ServerName string `yaml:"server_name"` // empty: the host of the URL
}

// MaxClusterTimeout is the longest that a server may be given. A store begins to give and to
// delete rows only while its turn was written down within the last half of what a turn
// lasts, 45 s of 90 s (ingest.TurnOptions): so that what it began is over, or given up,
// before another store takes the turn.
const MaxClusterTimeout = 40 * time.Second

// Timeout is how long a server may take for whatever is no query.
func (c *ClusterConfig) Timeout() time.Duration {
	if c.TimeoutSeconds == 0 {
		return 30 * time.Second
	}
	return time.Duration(c.TimeoutSeconds) * time.Second
}

func (k *KeepConfig) validateClusters(v *config.Check) {
	if !k.Clustered() {
		if len(k.Clusters) > 0 {
			v.Add("store.clusters", "counts with store.engine: %s alone, and the engine is %s", VictoriaLogsCluster, k.Engine)
		}
		return
	}
	switch n := len(k.Clusters); {
	case n == 0:
		v.Add("store.clusters", "must name the clusters that keep the events, such as [{name: a, select: 'http://vlselect-a:9428', nodes: ['http://vlstorage-a1:9428']}]")
	case n > mostClusters:
		v.Add("store.clusters", "has %d clusters, and at most %d are fed: each holds all events", n, mostClusters)
	}
	names, nodes := map[string]bool{}, map[string]bool{}
	for i := range k.Clusters {
		c, under := &k.Clusters[i], v.Under(fmt.Sprintf("store.clusters[%d]", i))
		under.Name("name", c.Name)
		if names[c.Name] {
			under.Add("name", "is that of another cluster, too")
		}
		names[c.Name] = true
		c.validate(under)
		for j, node := range c.Nodes {
			if nodes[node] {
				under.Add(fmt.Sprintf("nodes[%d]", j), "is there twice: a node is of one cluster, and once in it")
			}
			nodes[node] = true
		}
	}
}

func (c *ClusterConfig) validate(v *config.Check) {
	secret := c.Username != "" || c.Password != "" || c.Bearer != ""
	checkURL(v, "select", c.Select, secret)
	if len(c.Nodes) == 0 {
		v.Add("nodes", "must name the storage nodes")
	}
	for i, node := range c.Nodes {
		checkURL(v, fmt.Sprintf("nodes[%d]", i), node, secret)
	}
	if c.Bearer != "" && (c.Username != "" || c.Password != "") {
		v.Add("bearer", "excludes username and password")
	}
	if (c.Username == "") != (c.Password == "") {
		v.Add("password", "and username belong together")
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		v.Add("tls.key_file", "and cert_file belong together")
	}
	if c.TLS != (ClusterTLSConfig{}) && !slices.ContainsFunc(append([]string{c.Select}, c.Nodes...), isHTTPS) {
		v.Add("tls", "counts with addresses that begin with https, and none does")
	}
	if c.TLS.ServerName != "" {
		v.Host("tls.server_name", c.TLS.ServerName)
	}
	v.Range("timeout_seconds", c.TimeoutSeconds, 0, int(MaxClusterTimeout/time.Second))
}

// checkURL looks at an address of a server. What is secret is not sent where others can
// read it.
func checkURL(v *config.Check, key, text string, secret bool) {
	u, err := url.Parse(text)
	switch {
	case err != nil && strings.Contains(text, "@"): // a password may be in it
		v.Add(key, "must be a URL such as http://vlstorage-1:9428")
	case err == nil && u.User != nil:
		v.Add(key, "must have no name and password in it: username, password and bearer are for them")
	case err != nil || u.Host == "" || !slices.Contains([]string{"http", "https"}, u.Scheme):
		v.Add(key, "must be a URL such as http://vlstorage-1:9428, and is %q", text)
	case u.RawQuery != "" || u.Fragment != "":
		v.Add(key, "must end before ? and #")
	case secret && u.Scheme == "http" && !isLoopback(u.Hostname()):
		v.Add(key, "must begin with https, as a password or a token goes there")
	}
}

func isHTTPS(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https"
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
