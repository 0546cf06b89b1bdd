// Package admit decides what of a publisher's request goes into the log. It
// walks the wire form of a request once without decoding the events, which it unpacks
// for that where they came packed, remembers which batches and events have been stored
// so that a retry is harmless, and hands room in the log's queue out in turn so that no
// sender starves another.
//
// It knows neither gRPC nor the log's format; the hub joins the three.
package admit
