// Package web carries the built dashboard UI inside the binary.
//
// The files come from `npm run build` in this folder, which writes dist. A
// checkout where that has not been run still compiles: FS then answers every
// page with a notice that says how to build the UI.
package web

import (
	"embed"
	"io/fs"
)

// dist always exists because dist/.gitkeep is committed, so the directive
// compiles before the UI has been built.
//
//go:embed all:dist
var dist embed.FS

//go:embed notbuilt.html
var notBuilt []byte

// FS returns the files of the built UI: index.html, which serves every page,
// and assets/ whose names carry a hash of their content and may be cached for
// good. Beside each asset worth compressing lies the same name with ".gz".
func FS() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		// fs.Sub fails only for an invalid path, and this one is a constant.
		panic(err)
	}
	return sub
}

// Built reports whether the UI was built before the binary was.
func Built() bool {
	_, err := fs.Stat(FS(), "index.html")
	return err == nil
}

// Index returns the page that every address of the UI answers with: the built
// index.html, or a notice that names the command to build it.
func Index() []byte {
	page, err := fs.ReadFile(FS(), "index.html")
	if err != nil {
		return notBuilt
	}
	return page
}
