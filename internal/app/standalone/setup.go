package standalone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/identity"
)

// SetupOptions are what a person tells setup.
type SetupOptions struct {
	// PasswordFile is the new file that keeps the first account's password, readable by
	// its owner alone, instead of its being printed.
	PasswordFile string
	Hosts        []string // further names and addresses in certificates that are made
}

// Setup makes what is missing under the home folder and starts nothing: certificates,
// configuration, folders and the first account. It may run again and again: then it
// makes nothing.
func Setup(ctx context.Context, e *cli.Env, o SetupOptions) error {
	if err := e.Home.Ensure(); err != nil {
		return err
	}
	unlock, err := acquire(ctx, e.Home)
	if err != nil {
		return err
	}
	defer unlock()
	out := e.Stdout
	var printed strings.Builder
	if o.PasswordFile != "" {
		out = &printed
	}
	if len(o.Hosts) > 0 {
		if _, err := identity.EnsureLayout(e.Home.Certs(), identity.LayoutOptions{Now: e.Now, Observes: endpoint.Observing(), Hosts: o.Hosts}); err != nil {
			return err
		}
	}
	if _, err := prepare(ctx, e, Options{}, out); err != nil {
		return err
	}
	return keepPassword(e.Stdout, printed.String(), o.PasswordFile)
}

// keepPassword puts the password that was told among other words into a file, and
// tells the others.
func keepPassword(out io.Writer, told, file string) error {
	for line := range strings.Lines(told) {
		password, found := strings.CutPrefix(strings.TrimSpace(line), passwordLabel)
		if !found {
			fmt.Fprint(out, line)
			continue
		}
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s is there already, so that the password cannot be kept in it; set another: amoskys user passwd admin", file)
		}
		if err != nil {
			return fmt.Errorf("keep the password: %w; set another: amoskys user passwd admin", err)
		}
		_, err = fmt.Fprintln(f, strings.TrimSpace(password))
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("keep the password: %w; set another: amoskys user passwd admin", err)
		}
		fmt.Fprintf(out, "    %s in %s\n", passwordLabel, file)
	}
	return nil
}
