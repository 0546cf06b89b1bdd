package streamtest_test

import (
	"testing"

	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/stream/streamtest"
)

func TestModel(t *testing.T) {
	streamtest.Run(t, func(t *testing.T) streamtest.Subject {
		m := streamtest.NewModel()
		t.Cleanup(func() { _ = m.Close() })
		return streamtest.Subject{Log: m, Trim: func(_ *testing.T, before stream.Offset) { m.Trim(before) }}
	})
}
