package cli

import (
	"os"
	"os/exec"
	"path/filepath"

	"github.com/amoskys/amoskys/internal/config"
)

// Typed is a command of amoskys as a person types it in this shell to have it act on
// home: with the path by which this program was called where the search path has none
// of its name, and with --home where another folder is the working one.
func Typed(home config.Home, command string) string {
	folder, _ := os.Getwd()
	return typed(os.Args[0], folder, home, command)
}

func typed(program, folder string, home config.Home, command string) string {
	name := "amoskys"
	if filepath.Base(program) == name && program != name {
		if _, err := exec.LookPath(name); err != nil {
			name = program
		}
	}
	line := name + " " + command
	if home != "" && !home.Same(config.Home(folder)) {
		line += " --home " + string(home)
	}
	return line
}
