// Package logsql is the query language of searches, live tails and everything else
// that selects events: LogsQL as VictoriaLogs parses it, with names and units that
// are ours. docs/query.md is its manual.
package logsql
