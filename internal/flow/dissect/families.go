package dissect

func secureProtocols() []protocol {
	return []protocol{
		{name: "tls", category: categoryWeb, tcp: []uint16{443, 8443, 853, 993, 995, 465, 636, 990, 992, 5061},
			client: signature{"\x14\x15\x16\x17", matchTLS}, server: signature{"\x14\x15\x16\x17", matchTLS}, read: readTLS, tells: "…"},
	}
}
func webProtocols() []protocol        { return nil }
func nameProtocols() []protocol       { return nil }
func networkProtocols() []protocol    { return nil }
func mailProtocols() []protocol       { return nil }
func remoteProtocols() []protocol     { return nil }
func fileProtocols() []protocol       { return nil }
func loginProtocols() []protocol      { return nil }
func databaseProtocols() []protocol   { return nil }
func messageProtocols() []protocol    { return nil }
func voiceProtocols() []protocol      { return nil }
func streamProtocols() []protocol     { return nil }
func industrialProtocols() []protocol { return nil }
func manageProtocols() []protocol     { return nil }
func vpnProtocols() []protocol        { return nil }
func peerProtocols() []protocol       { return nil }
func gameProtocols() []protocol       { return nil }

type quicState struct{}

func (q *quicState) release(*pool) {}

type dnsState struct{}

func (s *State) finishDNS(*Engine) {}
func quicUserAgent([]byte) []byte  { return nil }
