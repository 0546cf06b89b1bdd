package packet

// Sample is a frame for tests of other packages.
type Sample struct {
	Name string
	Link Link
	Data []byte
}

// Samples gives a frame for each layer that is read.
func Samples() (all []Sample) {
	for _, c := range decodeCases() {
		all = append(all, Sample{c.name, c.link, c.data})
	}
	return all
}
