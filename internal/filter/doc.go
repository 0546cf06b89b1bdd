// Package filter parses and evaluates the event query language, a subset of
// LogsQL: words, "phrases", field:value comparisons, AND, OR, NOT and
// parentheses. docs/query.md describes it for people.
//
// A Filter is immutable and safe for concurrent use.
package filter
