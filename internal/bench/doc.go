// Package bench drives a part of AMOSKYS as hard as it goes and reports what it
// did. It measures from outside: the hub runs as a process of its own, over real
// mutual TLS and on a real disk, and its CPU time and memory are its own.
//
// Clients are made to cost little, since they share the machine with what they
// measure: requests are encoded once, only ids and sequences change, and acks are
// read without building messages.
package bench
