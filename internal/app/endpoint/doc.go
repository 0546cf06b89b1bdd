// Package endpoint assembles what runs on every watched host: the agents and the
// node that supervises them. It is all that amoskys-agent holds, so it imports
// nothing of hub, log, state or dashboard; a test lists what is linked.
package endpoint
