// Package docker builds the image and runs it, alone and as a Compose project, with a
// Docker daemon of its own in a network of its own, as docs/install.md says.
package docker
