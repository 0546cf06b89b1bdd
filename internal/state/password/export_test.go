package password

// Hold takes one of the slots in which hashes run.
func Hold(h *Hasher) (release func()) {
	h.slots <- struct{}{}
	return func() { <-h.slots }
}

// Queue takes one of the places of the queue.
func Queue(h *Hasher) (release func()) {
	h.queue <- struct{}{}
	return func() { <-h.queue }
}

// Decode reads the costs of a PHC string.
func Decode(encoded string) (Params, error) {
	p, _, _, err := decode(encoded)
	return p, err
}
