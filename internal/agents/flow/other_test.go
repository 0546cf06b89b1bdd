//go:build !linux

package flow

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/agent/agenttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func systemDecoders() []agenttest.Decoder { return nil }
