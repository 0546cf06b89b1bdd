package cli

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// Confirm asks a question on the terminal and returns nil for yes. Where nobody can
// be asked, --yes has to answer.
func (e *Env) Confirm(question string) error {
	f, isFile := e.Stdin.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return Usagef("%s Nobody can be asked here: --yes answers", question)
	}
	fmt.Fprint(e.Stderr, question+" [y/N] ")
	answer, err := bufio.NewReader(e.Stdin).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return ErrSilent
}
