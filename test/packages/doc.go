// Package packages installs what tools/package.sh makes into a Debian of its own, under
// a systemd of its own, and does with it what administrators do.
package packages
