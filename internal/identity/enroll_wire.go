package identity

// EnrollPath is where a hub takes an EnrollRequest, by POST as JSON.
const EnrollPath = "/v1/enroll"

// MaxEnrollBytes bounds request and answer.
const MaxEnrollBytes = 64 << 10

// EnrollRequest asks for a host's certificates. Keys stay where they were made.
type EnrollRequest struct {
	Token    string `json:"token"`
	Host     string `json:"host"`
	CSRNode  string `json:"csr_node"`  // PEM
	CSRAgent string `json:"csr_agent"` // PEM
}

// EnrollResponse is what a host gets, all PEM.
type EnrollResponse struct {
	CA        string `json:"ca"`
	NodeCert  string `json:"node_cert"`
	AgentCert string `json:"agent_cert"`
}

// EnrollError is the answer to a request that is refused.
type EnrollError struct {
	Error string `json:"error"`
}
