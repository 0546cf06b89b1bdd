// Package k8s holds what AMOSKYS in a Kubernetes cluster needs beside the manifests in
// this folder: the Secrets with certificates and keys, which are made for each cluster.
package k8s

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

//go:embed namespaces.yaml
var namespaces string

// Namespaces of the manifests: of hub, store, dashboards and agents without privileges,
// and of agents that look at machines.
const (
	Namespace       = "amoskys"
	AgentsNamespace = "amoskys-agents"
)

// TokenFile is the file beside certificates that keeps the join token.
const TokenFile = "join.token"

// secret is one Secret, and the files that it has.
type secret struct {
	name, namespace, why string
	files                []string
}

func secrets(namespace, agents string) []secret {
	return []secret{
		{"amoskys-eventbus", namespace, "The hub.", []string{"ca.crt", "eventbus.crt", "eventbus.key"}},
		{"amoskys-store", namespace, "The store.", []string{"ca.crt", "store.crt", "store.key"}},
		{"amoskys-dashboard", namespace, "The dashboards.", []string{"ca.crt", "dashboard.crt", "dashboard.key"}},
		{"amoskys-ca", namespace, "The authority's key, with which the hub lets agents join: the hub alone mounts it.", []string{"ca.key"}},
		{"amoskys-operator", namespace, "For commands that are called in the hub's pod, which alone mounts it.", []string{"operator.crt", "operator.key"}},
		{"amoskys-join", namespace, "What pods join with, for as long as it stands here.", []string{"token"}},
		{"amoskys-join", agents, "The same, for pods of that namespace.", []string{"token"}},
	}
}

// HubHosts are the names that the hub, the store or the dashboard (its Service) is reached
// by in a cluster.
func HubHosts(service, namespace string) []string {
	return []string{service, service + "." + namespace, service + "." + namespace + ".svc", service + "." + namespace + ".svc.cluster.local"}
}

// Leaves are the certificates that Secrets have.
func Leaves() []string { return []string{"eventbus", "store", "dashboard", "operator"} }

// Secrets are the namespaces and the Secrets in them, as YAML, with the files of a folder of
// certificates. The error says which file is missing.
func Secrets(certs, namespace, agents string) ([]byte, error) {
	return write(namespace, agents, func(name string) ([]byte, error) {
		if name == "token" {
			name = TokenFile
		}
		return os.ReadFile(filepath.Join(certs, name))
	})
}

// head says where the file comes from.
const head = `# Certificates, keys and the join token of one cluster, as amoskys certs init --k8s writes
# them. Keep it as you keep keys, and out of repositories.
`

// write makes the YAML of namespaces and Secrets.
func write(namespace, agents string, read func(name string) ([]byte, error)) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(head)
	spaces := strings.ReplaceAll(namespaces, "name: "+AgentsNamespace+"\n", "name: "+agents+"\n")
	spaces = strings.ReplaceAll(spaces, "name: "+Namespace+"\n", "name: "+namespace+"\n")
	b.WriteString(spaces)
	for _, s := range secrets(namespace, agents) {
		fmt.Fprintf(&b, "---\n# %s\napiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\n  namespace: %s\n  labels: {app.kubernetes.io/part-of: amoskys}\ntype: Opaque\ndata:\n", s.why, s.name, s.namespace)
		for _, name := range s.files {
			text, err := read(name)
			if err != nil {
				return nil, fmt.Errorf("write Secret %s: %w", s.name, err)
			}
			fmt.Fprintf(&b, "  %s: %q\n", name, base64.StdEncoding.EncodeToString(text))
		}
	}
	return b.Bytes(), nil
}
