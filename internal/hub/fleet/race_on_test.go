//go:build race

package fleet_test

// raceEnabled says that the race detector makes everything slower.
const raceEnabled = true
