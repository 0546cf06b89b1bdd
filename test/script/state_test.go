package script_test

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// upState is run/up.json.
type upState struct {
	PID      int `json:"pid"`
	Children []struct {
		Name string `json:"name"`
		PID  int    `json:"pid"`
	} `json:"children"`
}

func readState(ts *testscript.TestScript) upState {
	text, err := os.ReadFile(filepath.Join(ts.Getenv("AMOSKYS_HOME"), "run", "up.json"))
	ts.Check(err)
	var s upState
	ts.Check(json.Unmarshal(text, &s))
	return s
}
