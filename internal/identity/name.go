package identity

import (
	"path/filepath"
	"strings"
)

// nameFromFile returns what a certificate file is called on the command line.
func nameFromFile(file string) string {
	return strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
}
