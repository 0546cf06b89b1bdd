// Command grafana writes the dashboards of deploy/grafana for Grafana, with the builders of
// the Grafana Foundation SDK (github.com/grafana/grafana-foundation-sdk, Apache-2.0), so
// that their schema is checked by the compiler:
//
//	go run -C tools ./grafana DIR
//
// DIR gets a file NAME.json for each. What they ask for is tested in internal/app, which has
// the metrics that there are.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: grafana DIR")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "grafana:", err)
		os.Exit(1)
	}
}

// write makes all dashboards and writes them into dir.
func write(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make the folder of the dashboards: %w", err)
	}
	for _, b := range []board{overview(), processes(), flows(), snmp(), devices(), agents(), store()} {
		made, err := b.build()
		if err != nil {
			return fmt.Errorf("build %s: %w", b.name, err)
		}
		text, err := json.MarshalIndent(made, "", "  ")
		if err != nil {
			return fmt.Errorf("write %s: %w", b.name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, b.name+".json"), append(text, '\n'), 0o600); err != nil {
			return fmt.Errorf("write %s: %w", b.name, err)
		}
	}
	return nil
}
