//go:build !linux

package track

// memory gives room for chunks, which is that of the Go heap here.
type memory struct{}

func (*memory) own(*Table) {}

func (*memory) chunk() *chunk { return new(chunk) }
