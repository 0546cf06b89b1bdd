//go:build race

package hub

// raceEnabled says that the race detector makes everything slower.
const raceEnabled = true
