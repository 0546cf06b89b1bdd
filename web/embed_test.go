package web_test

import (
	"bytes"
	"io/fs"
	"testing"

	"github.com/amoskys/amoskys/web"
)

func TestIndexAlwaysAnswers(t *testing.T) {
	page := web.Index()
	if !bytes.Contains(page, []byte("<title>AMOSKYS")) {
		t.Fatalf("Index() is no page of ours: %.80q", page)
	}
	if built := !bytes.Contains(page, []byte("UI not built")); built != web.Built() {
		t.Errorf("Built() = %v, but the page says %v", web.Built(), built)
	}
}

func TestBuiltUIHasAssets(t *testing.T) {
	if !web.Built() {
		t.Skip("web/dist is not built: run npm run build in web/")
	}
	entries, err := fs.ReadDir(web.FS(), "assets")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) == 0 {
		t.Error("the built UI has no assets")
	}
}

func TestBuiltDocuments(t *testing.T) {
	if !web.Built() {
		t.Skip("web/dist is not built: run npm run build in web/")
	}
	for _, page := range []string{"docs/quickstart.html", "docs/api.html", "docs/search.json", "docs/site.css", "docs/img/overview.webp"} {
		if content, err := fs.ReadFile(web.FS(), page); err != nil || len(content) < 1000 {
			t.Errorf("%s: %d bytes, %v", page, len(content), err)
		}
	}
}
