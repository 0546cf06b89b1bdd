package rules

import _ "embed"

// ShippedFile is the name of the file with the rules that come with the program. A file of
// that name in the folder of rules takes their place.
const ShippedFile = "amoskys.yml"

//go:embed shipped/amoskys.yml
var shipped string

// Shipped are the rules that come with the program, as a file.
func Shipped() []byte { return []byte(shipped) }
