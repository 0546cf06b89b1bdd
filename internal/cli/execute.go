package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes of every command.
const (
	ExitOK     = 0
	ExitFailed = 1 // the work could not be done, or a check found something
	ExitUsage  = 2 // the command was called wrongly
)

// UsageError is a command called wrongly: exit code 2 and a hint to --help.
type UsageError struct {
	Err error
}

func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *UsageError) Unwrap() error { return e.Err }

// Usagef makes a UsageError.
func Usagef(format string, args ...any) error {
	return &UsageError{Err: fmt.Errorf(format, args...)}
}

// ErrSilent ends a command with exit code 1 when it has already printed what
// was wrong.
var ErrSilent = errors.New("failed")

// Execute runs the command tree with the arguments given (without the program's
// name) and returns the exit code: 0, 1 when it failed, 2 when it was called
// wrongly. It prints the error to e.Stderr.
func Execute(ctx context.Context, root *cobra.Command, e *Env, args []string) int {
	root.SetArgs(args)
	root.SetIn(e.Stdin)
	root.SetOut(e.Stdout)
	root.SetErr(e.Stderr)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &UsageError{Err: flagError(err)} })
	root.InitDefaultCompletionCmd(args...) // otherwise made behind our back
	wrapArgs(root)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	if errors.Is(err, ErrSilent) {
		return ExitFailed
	}
	text := err.Error()
	if ctx.Err() != nil { // somebody pressed Ctrl-C
		text = strings.ReplaceAll(text, context.Canceled.Error(), "interrupted")
	}
	if e.Home != "" && e.Home == packagedHome() && strings.Contains(text, "permission denied") && os.Geteuid() > 0 {
		text += fmt.Sprintf("; %s is not this user's: call the same with sudo", e.Home)
	}
	fmt.Fprintf(e.Stderr, "%s: %s\n", root.Name(), cleanLines(groupError(text)))
	if isUsage(err) {
		fmt.Fprintf(e.Stderr, "See %q.\n", cmd.CommandPath()+" --help")
		return ExitUsage
	}
	return ExitFailed
}

// cleanLines is Clean for a text of several lines. What failed may be told in the
// words of another machine.
func cleanLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = Clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

// wrapArgs makes the errors of argument checks usage errors, and has groups of
// commands refuse words they do not know instead of printing help and exit 0.
func wrapArgs(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		wrapArgs(sub)
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return &UsageError{Err: argsError(c, args, err)}
			}
			return nil
		}
	}
	if cmd.HasSubCommands() && cmd.Run == nil && cmd.RunE == nil {
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			message := fmt.Sprintf("unknown command %q for %q", args[0], c.CommandPath())
			c.SuggestionsMinimumDistance = 2
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				message += ", did you mean " + strings.Join(near, " or ") + "?"
			}
			return &UsageError{Err: errors.New(message)}
		}
	}
}

// argsError says how the command is called where cobra only counts.
func argsError(c *cobra.Command, args []string, err error) error {
	words := err.Error()
	if !strings.HasPrefix(words, "accepts ") && !strings.HasPrefix(words, "requires ") {
		return err
	}
	what, wanted := "an argument is missing", 0
	if n, _ := fmt.Sscanf(strings.Replace(words, "at most ", "", 1), "accepts %d arg(s)", &wanted); n == 1 && len(args) > wanted {
		what = fmt.Sprintf("%q is one argument too many", args[wanted])
	}
	return fmt.Errorf("%s: call it as %s", what, c.UseLine())
}

// flagError puts what a flag takes in place of the parser's words.
func flagError(err error) error {
	words := err.Error()
	for _, w := range []struct{ start, plain string }{
		{"strconv.ParseInt", "it takes a whole number"},
		{"strconv.ParseUint", "it takes a whole number from 0"},
		{"strconv.ParseFloat", "it takes a number"},
		{"strconv.ParseBool", "it takes true or false"},
		{"time: ", "it takes a duration such as 90s, 15m or 2h"},
	} {
		before, after, found := strings.Cut(words, ": "+w.start)
		switch {
		case !found:
		case strings.Contains(after, "out of range"):
			return errors.New(before + ": the number is too large or too small")
		default:
			return errors.New(before + ": " + w.plain)
		}
	}
	return err
}

// groupError names the flags that exclude each other in plain words.
func groupError(text string) string {
	if !strings.HasPrefix(text, "if any flags in the group [") {
		return text
	}
	_, given, found := strings.Cut(text, "none of the others can be; [")
	given, _, found2 := strings.Cut(given, "]")
	if !found || !found2 {
		return text
	}
	return "--" + strings.Join(strings.Fields(given), " and --") + " exclude each other"
}

// isUsage also knows the errors that cobra makes itself and gives no type.
func isUsage(err error) bool {
	if _, ok := errors.AsType[*UsageError](err); ok {
		return true
	}
	for _, start := range []string{"unknown command ", "unknown flag", "unknown shorthand", "required flag(s) ", "if any flags in the group", "at least one of the flags"} {
		if strings.HasPrefix(err.Error(), start) {
			return true
		}
	}
	return false
}
