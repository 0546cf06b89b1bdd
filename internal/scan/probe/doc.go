// Package probe makes the packets of a scan, reads the answers, and sends and receives
// both through packet sockets (AF_PACKET, Linux).
//
// Building and reading are pure functions over bytes and the same on every system.
// Answers are what anybody may have sent: a packet that is cut, has a wrong header or
// carries what was not asked is no answer, and never an error.
package probe
