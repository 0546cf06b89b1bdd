package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// maxPasswordInput bounds what is read of a password, in bytes: more than any may have.
const maxPasswordInput = 4 << 10

// NewPassword returns the new password for somebody: what stdin holds, without the
// end of its line, when fromStdin is set; else what is typed twice on the terminal,
// which does not show it. It is empty where nobody can be asked or an empty line was
// typed, which means that one is to be made. It ends with ctx.
func (e *Env) NewPassword(ctx context.Context, who string, fromStdin bool) (string, error) {
	if fromStdin {
		return e.passwordFromStdin()
	}
	f, isFile := e.Stdin.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return "", nil
	}
	first, err := e.askHidden(ctx, f, fmt.Sprintf("Password for %s (Enter alone: one is made and shown once): ", Clean(who)))
	if err != nil || first == "" {
		return "", err
	}
	again, err := e.askHidden(ctx, f, "The same again: ")
	if err == nil && again != first {
		err = errors.New("the two differ; nothing was changed")
	}
	return first, err
}

func (e *Env) passwordFromStdin() (string, error) {
	text, err := io.ReadAll(io.LimitReader(e.Stdin, maxPasswordInput+1))
	switch line := strings.TrimRight(string(text), "\r\n"); {
	case err != nil:
		return "", fmt.Errorf("read the password from stdin: %w", err)
	case line == "":
		return "", Usagef("--password-stdin: stdin is empty; without the flag a password is made")
	case len(text) > maxPasswordInput || strings.ContainsAny(line, "\r\n"):
		return "", Usagef("--password-stdin: stdin must hold one line, the password")
	default:
		return line, nil
	}
}

// askHidden reads one line that the terminal does not show, and has it show again
// what is typed when ctx ends before.
func (e *Env) askHidden(ctx context.Context, f *os.File, question string) (string, error) {
	fd := int(f.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("ask for the password: %w", err)
	}
	fmt.Fprint(e.Stderr, question)
	type answer struct {
		line []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() { // a read of a terminal cannot be broken off: the program ends with it
		line, err := term.ReadPassword(fd)
		answers <- answer{line, err}
	}()
	select {
	case a := <-answers:
		fmt.Fprintln(e.Stderr)
		if errors.Is(a.err, io.EOF) {
			return "", errors.New("no password was typed")
		}
		if a.err != nil {
			return "", fmt.Errorf("read the password: %w", a.err)
		}
		return string(bytes.TrimRight(a.line, "\r\n")), nil
	case <-ctx.Done():
		fmt.Fprintln(e.Stderr)
		return "", errors.Join(ctx.Err(), term.Restore(fd, before))
	}
}
