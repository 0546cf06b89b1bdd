// Package hush keeps libraries quiet that log while the program is still being
// initialised, before any flag is read or logger made: one of them says on every start
// where the kernel has no pressure stall information (psi=0, the default of RHEL) that it
// goes without, under every command that a person types.
//
// Packages are initialised in the order of their import paths, each once its imports are
// (https://go.dev/ref/spec#Package_initialization); this one imports next to nothing, so
// that it is before all that imports net/http. Main calls End first of all.
package hush

import (
	"io"
	"log" //nolint:depguard // its output is what is kept quiet
)

var output = hush() //nolint:gochecknoglobals // it has to be before the variables of others

func hush() io.Writer {
	w := log.Writer()
	log.SetOutput(io.Discard)
	return w
}

// End lets libraries log again.
func End() { log.SetOutput(output) }
