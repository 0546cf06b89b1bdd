package stack

// Clue is what one source says of a host: a service that names its system, a name in a
// certificate, a model in an announcement. What is empty is not said.
type Clue struct {
	OS, OSVersion string
	Vendor, Model string
	// Class is one of Classes.
	Class string
	// Name is a host name.
	Name string
	// Source says who says so, for people: "OpenSSH on port 22/tcp".
	Source string
}
