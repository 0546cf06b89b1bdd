// Package identity gives every part of AMOSKYS a name and proves it.
//
// It holds the embedded certificate authority, the certs/ folder and mutual TLS:
//
//   - [ID] is a name, spiffe://DOMAIN/ROLE/NAME, carried by a certificate.
//   - [CA] issues certificates; [EnsureLayout] fills a certs/ folder with what
//     is missing, [Renew] replaces leaves, [List] and [Verify] look at them.
//   - [ServerConfig] and [ClientConfig] give TLS configurations in which both
//     sides verify chain, validity, role and name. Files that change are read
//     again, so renewal needs no restart.
//   - [Rejection] says which check failed, in words an operator can act on.
//   - [Listener] finishes handshakes before a server sees a connection and
//     names also the refusals that have no certificate in them: plain HTTP,
//     garbage, silence.
//
// The package knows nothing of events, the log or gRPC. Threat model and
// procedures are in docs/security.md.
package identity
