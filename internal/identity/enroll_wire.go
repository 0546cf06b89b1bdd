package identity

// EnrollPath is where a hub takes an EnrollRequest, by POST as JSON.
const EnrollPath = "/v1/enroll"

// MaxEnrollBytes bounds request and answer, and MaxEnrollAgents the agents that get
// a certificate of their own.
const (
	MaxEnrollBytes  = 128 << 10
	MaxEnrollAgents = 64
)

// EnrollRequest asks for a host's certificates. Keys stay where they were made.
type EnrollRequest struct {
	Token string `json:"token"`
	Host  string `json:"host"`
	// CSRNode is empty where agents that each have their own certificate enrol alone,
	// on a host that runs no node or has one already.
	CSRNode string `json:"csr_node,omitempty"` // PEM
	// CSRAgent is for the one certificate of all agents; empty when each of Agents
	// gets its own.
	CSRAgent string        `json:"csr_agent,omitempty"` // PEM
	Agents   []EnrollAgent `json:"agents,omitempty"`
	// Observes are the kinds of this host's agents that speak of other hosts and
	// devices.
	Observes []string `json:"observes,omitempty"`
	// Machine is the hashed id of this machine, by which the hub notices a second
	// one of the same name.
	Machine string `json:"machine,omitempty"`
}

// EnrollAgent is one agent that gets a certificate of its own.
type EnrollAgent struct {
	ID       string   `json:"id"`
	CSR      string   `json:"csr"` // PEM
	Observes []string `json:"observes,omitempty"`
}

// EnrollResponse is what a host gets, all PEM.
type EnrollResponse struct {
	CA        string `json:"ca"`
	NodeCert  string `json:"node_cert,omitempty"`
	AgentCert string `json:"agent_cert,omitempty"`
	// AgentCerts are in the order of the request's Agents.
	AgentCerts []string `json:"agent_certs,omitempty"`
	// Warnings are for people: the host has joined all the same.
	Warnings []string `json:"warnings,omitempty"`
}

// EnrollError is the answer to a request that is refused.
type EnrollError struct {
	Error string `json:"error"`
}
