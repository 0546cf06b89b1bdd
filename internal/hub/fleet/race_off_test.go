//go:build !race

package fleet_test

// raceEnabled says that nothing slows the code down.
const raceEnabled = false
