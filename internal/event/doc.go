// Package event makes, checks, flattens and prints telemetry events.
//
// Inspect is the hub's gate: it walks an encoded event once, without decoding
// it, and promises that whatever it accepts unmarshals. Fields and Lookup give
// an event's attributes under ECS and OCSF names from one table (table.go),
// which docs/events.md is generated from.
//
// The package depends on the generated messages alone, so agents, the hub and
// every subscriber may import it.
package event
