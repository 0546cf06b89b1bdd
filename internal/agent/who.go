package agent

import (
	"fmt"
	"slices"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/identity/hostname"
)

// identify finds out who this agent is: the host, and where the certificate is
// one agent's alone the agent, that the certificate names. The hub takes nothing
// else from it, whatever this machine calls itself.
func (r *runner) identify() error {
	r.host = Machine()
	if !r.common.Hub.TLSEnabled {
		return nil
	}
	file := r.common.Files(r.o.Home).Cert
	holder, err := identity.ReadHolder(file)
	if err != nil {
		return fmt.Errorf("prepare connection to the hub: %w", err)
	}
	if bound := holder.ID.AgentID(); bound != "" && !hostname.Same(r.common.ID, bound) {
		return fmt.Errorf("agent.id is %q in %s, and the certificate %s is that of agent %q alone: "+
			"set agent.id to that, or hub.cert_file to another certificate", r.common.ID, r.o.File, file, bound)
	}
	r.host = MachineNamed(holder.ID.Host())
	return nil
}

// observing is a fault while the certificate does not let this kind of agent speak
// of other hosts and devices, which is what it is for. Renewal may mend that.
func (r *runner) observing() error {
	kind := r.o.Definition.Kind
	if !r.o.Definition.Observes || !r.common.Hub.TLSEnabled {
		return nil
	}
	file := r.common.Files(r.o.Home).Cert
	holder, err := identity.ReadHolder(file)
	if err != nil || slices.Contains(holder.Observes, kind) {
		return nil // the connection tells what is wrong with the file
	}
	return fmt.Errorf("the certificate %s does not let agents of kind %s speak of other hosts, so the hub refuses their events: "+
		"renew it with amoskys certs renew agent, or see docs/security.md", file, kind)
}
