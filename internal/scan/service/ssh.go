package service

import (
	"errors"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

// errSeen ends the handshake once the host key is there: before any login.
var errSeen = errors.New("the host key is all that is wanted")

// askHostKey exchanges keys and goes before it would log in.
func askHostKey(q *inquiry, l *line) Facts {
	f := Facts{}
	config := ssh.ClientConfig{
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			f.put("ssh.host_key", ssh.FingerprintSHA256(key))
			f.put("ssh.host_key_type", key.Type())
			return errSeen
		},
		ClientVersion: "SSH-2.0-AMOSKYS",
		// Old devices have nothing else; what is asked is no secret.
		Config: ssh.Config{
			KeyExchanges: append(ssh.SupportedAlgorithms().KeyExchanges, ssh.InsecureAlgorithms().KeyExchanges...),
			Ciphers:      append(ssh.SupportedAlgorithms().Ciphers, ssh.InsecureAlgorithms().Ciphers...),
			MACs:         append(ssh.SupportedAlgorithms().MACs, ssh.InsecureAlgorithms().MACs...),
		},
		HostKeyAlgorithms: append(ssh.SupportedAlgorithms().HostKeys, ssh.InsecureAlgorithms().HostKeys...),
	}
	_ = l.SetDeadline(time.Now().Add(2 * l.wait))
	c, _, _, err := ssh.NewClientConn(l, q.at.String(), &config)
	if err == nil { // It cannot, as the callback refuses every key.
		_ = c.Close()
	}
	return f
}
