package hub

import (
	"testing"

	"github.com/amoskys/amoskys/internal/identity"
)

func TestExpiryIsExported(t *testing.T) {
	h := startHub(t, "")
	files := identity.FilesFor(h.home.Certs(), "eventbus")
	for name, file := range map[string]string{"eventbus": files.Cert, "ca": files.CA} {
		end, err := identity.EndOf(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.metric(t, identity.ExpiryMetric, "certificate", name); got != float64(end.Unix()) {
			t.Errorf("%s ends at %v, want %d", name, got, end.Unix())
		}
	}
}
