//go:build !linux

package flow

import "github.com/amoskys/amoskys/internal/agent/agenttest"

func systemDecoders() []agenttest.Decoder { return nil }
