// Package unread counts the answers to single requests that a gRPC server has made and
// whose clients have not read them. HTTP/2 lets a client read nothing and ask again, and
// gRPC keeps each answer in memory until then, long after its call has ended for the
// server: so an answer counts until gRPC has written it, or given it up with its stream,
// or until its connection has ended.
package unread

import (
	"context"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Small is what is not worth counting, in bytes: as many as a connection may have streams
// are little.
const Small = 16 << 10

// Share is what one caller may have unread.
type Share struct {
	// Take takes n bytes of it, or says with a gRPC status why not.
	Take func(n int64) error
	// Release gives n bytes back. It is called from any goroutine, once for each Take.
	Release func(n int64)
	// Connection ends with the caller's: gRPC drops what is queued for one without a word.
	Connection context.Context //nolint:containedctx // a life, not a call's
}

// Encode encodes an answer that counts as its caller's. It returns nil for one that is
// Small, which the server's codec may encode. The errors are gRPC statuses.
func Encode(m proto.Message, s *Share) (mem.BufferSlice, error) {
	size := proto.Size(m)
	if size <= Small {
		return nil, nil
	}
	n := int64(size)
	if err := s.Take(n); err != nil {
		return nil, err
	}
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(make([]byte, 0, size), m)
	if err != nil {
		s.Release(n)
		return nil, status.Errorf(codes.Internal, "encode the answer: %v", err)
	}
	release := s.Release
	h := &held{release: sync.OnceFunc(func() { release(n) })}
	h.unlink = context.AfterFunc(s.Connection, h.release)
	return mem.BufferSlice{mem.NewBuffer(&b, h)}, nil
}

// held is the pool of one buffer, by which it learns that gRPC is done with it.
type held struct {
	release func()
	unlink  func() bool // from the end of the connection
}

var _ mem.BufferPool = (*held)(nil)

// Get implements mem.BufferPool; nothing is taken from this one.
func (*held) Get(n int) *[]byte { b := make([]byte, n); return &b }

// Put implements mem.BufferPool.
func (h *held) Put(*[]byte) {
	h.unlink()
	h.release()
}
