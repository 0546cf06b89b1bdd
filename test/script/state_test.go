package script_test

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// statePIDs reads run/up.json: up's own pid first, then its children's.
func statePIDs(ts *testscript.TestScript) []int {
	text, err := os.ReadFile(filepath.Join(ts.Getenv("AMOSKYS_HOME"), "run", "up.json"))
	ts.Check(err)
	var s struct {
		PID      int `json:"pid"`
		Children []struct {
			PID int `json:"pid"`
		} `json:"children"`
	}
	ts.Check(json.Unmarshal(text, &s))
	pids := []int{s.PID}
	for _, c := range s.Children {
		pids = append(pids, c.PID)
	}
	return pids
}
