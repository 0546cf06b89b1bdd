// Package stack judges what a device is: its operating system and its class, from
// traits of its TCP/IP stack, its services, what it announces, and who made it.
package stack
