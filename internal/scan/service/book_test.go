package service

import (
	"slices"
	"testing"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestExamples: each fingerprint is the first that its examples meet in all files, and
// says of them what they say.
func TestExamples(t *testing.T) {
	b, err := load(nil)
	if err != nil {
		t.Fatal(err)
	}
	for n, f := range b.prints {
		for i, e := range f.Examples {
			says, ok := f.matches(e.Facts)
			if !ok {
				t.Errorf("fingerprint %d (%s %s): example %d does not match", n, f.Service, f.Product, i)
				continue
			}
			for name, want := range e.texts() {
				if got := *says.texts()[name]; *want != "" && got != *want {
					t.Errorf("fingerprint %d (%v): %s is %q, not %q", n, f.When, name, got, *want)
				}
			}
			for _, want := range e.Remarks {
				if !slices.Contains(says.Remarks, want) {
					t.Errorf("fingerprint %d (%v): remarks are %q, without %q", n, f.When, says.Remarks, want)
				}
			}
			q := &inquiry{Identifier: &Identifier{book: b}, facts: Facts{}, port: &pb.Port{}, tried: map[string]bool{}}
			q.learn(&Probe{Decoder: "http"}, e.Facts)
			if q.port.GetService() == "" {
				t.Errorf("fingerprint %d (%v): no service is told", n, f.When)
			}
			if says.Product != "" && q.port.GetProduct() != says.Product {
				t.Errorf("fingerprint %d (%v): its example is taken for %q", n, f.When, q.port.GetProduct())
			}
		}
	}
}
