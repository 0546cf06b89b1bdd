package arch_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// subscribing is what only those name that read the log by gRPC for themselves.
var subscribing = regexp.MustCompile(`\.Subscribe\(|\bpb\.Delivery\b|\bEventBus_Subscribe_FullMethodName\b`)

// TestOneReaderSubscribes: whoever reads the log by gRPC does so through reader.Remote,
// which asks for blocks and decodes nothing by protobuf. Others are here with a reason.
func TestOneReaderSubscribes(t *testing.T) {
	allowed := map[string]string{
		"internal/reader/remote.go":   "the one reader",
		"internal/hub/subscribe.go":   "the hub's side of it",
		"internal/hub/turns.go":       "bounds calls by their method",
		"internal/bench/read_old.go":  "the reader of old, to be measured against",
		"internal/identity/rights/":   "who may call it",
		"internal/pb/":                "generated",
		"internal/reader/delivery.go": "the walk, held against the generated code",
	}
	sources(t, func(path, rel string) {
		if filepath.Ext(rel) != ".go" || strings.HasSuffix(rel, "_test.go") {
			return
		}
		for prefix := range allowed {
			if strings.HasPrefix(rel, prefix) {
				return
			}
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			return
		}
		if name := subscribing.Find(text); name != nil {
			t.Errorf("%s has %s: read through reader.Remote", rel, name)
		}
	})
}
