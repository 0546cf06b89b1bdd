package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/console"
	"github.com/amoskys/amoskys/internal/cli"
)

func newUserCommand(e *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "List, add and remove those who sign in to the dashboard",
		Long: `Each person has a name, a password and a role: a viewer looks, an analyst also runs
tasks and fetches their results, an admin also starts and stops agents. The hub keeps
them and must run; every change is in the audit trail.`,
		Example: `  amoskys user add ada --role analyst
  amoskys user passwd admin`,
	}
	cmd.AddCommand(newUserList(e), newUserAdd(e), newUserPasswd(e), newUserRole(e), newUserRemove(e))
	return cmd
}

func newUserList(e *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List users, their roles and when they last signed in", Args: cobra.NoArgs,
		Example: "  amoskys user list\n  amoskys user list --json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return console.ListUsers(cmd.Context(), e, asJSON) },
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// howToGive is how add and passwd get a password.
const howToGive = `
On a terminal the password is asked for and not shown as it is typed; Enter alone has
the hub make one, as it does where nobody can be asked. It is printed once and kept
nowhere. --password-stdin reads it from stdin. There is no flag for it: the list of
processes and the shell's history would tell it.`

func newUserAdd(e *cli.Env) *cobra.Command {
	var role console.Role
	var fromStdin, asJSON bool
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Add somebody who may sign in", Args: cobra.ExactArgs(1),
		Long: "Adds a user. A name has 1 to 64 of a-z, 0-9, \".\", \"_\" and \"-\".\n" + howToGive,
		Example: `  amoskys user add ada --role analyst
  pass show amoskys/ada | amoskys user add ada --role viewer --password-stdin`,
		RunE: func(cmd *cobra.Command, args []string) error {
			plain, err := e.NewPassword(cmd.Context(), args[0], fromStdin)
			if err != nil {
				return err
			}
			return console.AddUser(cmd.Context(), e, args[0], role, plain, asJSON)
		},
	}
	cmd.Flags().Var(&role, "role", "viewer, analyst or admin")
	_ = cmd.MarkFlagRequired("role") // fails only for a flag that is not there
	passwordFlag(cmd, &fromStdin)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newUserPasswd(e *cli.Env) *cobra.Command {
	var fromStdin, asJSON bool
	cmd := &cobra.Command{
		Use: "passwd NAME", Short: "Give somebody another password, when theirs is lost", Args: cobra.ExactArgs(1),
		Long:    "Replaces the password of a user without asking for the old one, and ends all their\nsessions.\n" + howToGive,
		Example: "  amoskys user passwd admin\n  amoskys user passwd admin --json </dev/null",
		RunE: func(cmd *cobra.Command, args []string) error {
			plain, err := e.NewPassword(cmd.Context(), args[0], fromStdin)
			if err != nil {
				return err
			}
			return console.SetPassword(cmd.Context(), e, args[0], plain, asJSON)
		},
	}
	passwordFlag(cmd, &fromStdin)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newUserRole(e *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "role NAME ROLE", Short: "Give somebody another role", Args: cobra.ExactArgs(2),
		Long: `The role counts from the user's next request on; nobody has to sign in again. The last
admin stays one.`,
		Example: "  amoskys user role ada admin",
		RunE: func(cmd *cobra.Command, args []string) error {
			var role console.Role
			if err := role.Set(args[1]); err != nil {
				return cli.Usagef("%q: %w", args[1], err)
			}
			return console.SetRole(cmd.Context(), e, args[0], role, asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newUserRemove(e *cli.Env) *cobra.Command {
	var yes, asJSON bool
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Remove somebody and end their sessions", Args: cobra.ExactArgs(1),
		Long:    "Removes a user at once, and asks first. The last admin stays. What they did stays in the\naudit trail.",
		Example: "  amoskys user remove ada\n  amoskys user remove ada --yes --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				if err := e.Confirm(fmt.Sprintf("Remove user %s and end their sessions?", cli.Clean(args[0]))); err != nil {
					return err
				}
			}
			return console.RemoveUser(cmd.Context(), e, args[0], asJSON)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask; a script, which cannot be asked, needs it")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func passwordFlag(cmd *cobra.Command, fromStdin *bool) {
	cmd.Flags().BoolVar(fromStdin, "password-stdin", false, "read the password from stdin")
}

func jsonFlag(cmd *cobra.Command, asJSON *bool) {
	cmd.Flags().BoolVar(asJSON, "json", false, "print JSON")
}
