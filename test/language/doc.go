// Package language holds that a query means the same for stored events, which a real
// engine searches, as for events as they come: for each question of docs/query.md and
// each field of the catalogue.
package language
