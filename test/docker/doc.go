// Package docker builds the image and runs it, with a Docker daemon of its own in a
// network of its own, as docs/install.md says.
package docker
