package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/backups"
	"github.com/amoskys/amoskys/internal/backup"
	"github.com/amoskys/amoskys/internal/cli"
)

// defaultRate is how many MiB a backup reads a second, so that acknowledgements do not
// wait for it.
const defaultRate = 64

func newBackupCommand(e *cli.Env) *cobra.Command {
	var o backups.Options
	var keys sealing
	var rate int64
	var asJSON bool
	cmd := &cobra.Command{
		Use: "backup DIR|s3://BUCKET/PREFIX", Short: "Back up this home while it runs", Args: cobra.ExactArgs(1),
		Long: `Takes a snapshot of log, store, metrics, devices, state, configuration and certificates
while they run, all of it at one offset of the log, and writes it to a folder or a bucket
of S3. The next one to the same place sends what has changed. Private keys are in it only
with --with-keys, encrypted with age. A bucket's address and keys are those of
AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.`,
		Example: "  amoskys backup /mnt/backup/amoskys --keep 14\n" +
			"  amoskys backup s3://backups/amoskys --with-keys --passphrase-file /root/passphrase\n" +
			"  amoskys backup list /mnt/backup/amoskys",
	}
	cmd.Flags().IntVar(&o.Keep, "keep", 0, "how many backups stay there: older ones are pruned when this one is whole (default all)")
	cmd.Flags().Int64Var(&rate, "rate", defaultRate, "MiB to read a second, 0 for as fast as it goes")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	keys.bind(cmd, "recipients-file", "file with recipients of age, for whom the keys are encrypted")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if rate < 0 || o.Keep < 0 {
			return cli.Usagef("--rate and --keep must not be negative")
		}
		var err error
		if o.Sealing, err = keys.read(func(s *backup.Sealing, text string) { s.Recipients = text }); err != nil {
			return err
		}
		o.To, o.Rate = args[0], rate<<20
		backup.Yield()
		progress := cli.NewProgress(e.Stderr, e.Now)
		o.Progress = func(done, total int64) { progress.Update("backing up", done, total) }
		made, err := backups.Create(cmd.Context(), e, o)
		progress.Done()
		if err != nil {
			return err
		}
		if asJSON {
			return cli.WriteJSON(e.Stdout, made)
		}
		return printMade(e, made)
	}
	cmd.AddCommand(newBackupListCommand(e), newBackupPruneCommand(e))
	return cmd
}

func printMade(e *cli.Env, m *backups.Made) error {
	took := time.Duration(m.Seconds * float64(time.Second))
	_, err := fmt.Fprintf(e.Stdout, "backup %s in %s\nlog up to offset %d; %s in %s, %s sent, in %s (%s a second)\n", m.ID, m.Place, m.Offset,
		cli.Bytes(m.Bytes), cli.Counted(m.Files, "file", "files"), cli.Bytes(m.Sent), cli.Duration(took), cli.Bytes(int64(float64(m.Bytes)/max(m.Seconds, 0.001))))
	if err != nil {
		return err
	}
	if p := m.Pruned; p != nil && len(p.Snapshots)+p.Objects > 0 {
		fmt.Fprintf(e.Stdout, "pruned %s and %s that no backup needs, %s\n", cli.Counted(len(p.Snapshots), "backup", "backups"), cli.Counted(p.Objects, "piece", "pieces"), cli.Bytes(p.Bytes))
	}
	if !m.WithKeys {
		fmt.Fprintln(e.Stdout, "private keys are not in it: hosts would enrol again after a restore (--with-keys takes them along, encrypted)")
	}
	for _, w := range m.Warnings {
		fmt.Fprintln(e.Stdout, cli.Clean(w))
	}
	return nil
}

func newBackupListCommand(e *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list DIR|s3://BUCKET/PREFIX", Short: "List the backups in a place, the newest first", Args: cobra.ExactArgs(1),
		Example: "  amoskys backup list /mnt/backup/amoskys\n  amoskys backup list s3://backups/amoskys --json",
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per line")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		list, err := backups.List(cmd.Context(), e, args[0])
		if err != nil {
			return err
		}
		t := cli.NewTable("BACKUP", "TIME", "HOST", ">OFFSET", ">SIZE", ">FILES", "KEYS", "NOTE")
		for _, b := range list {
			if asJSON {
				if err := cli.WriteJSONLine(e.Stdout, b); err != nil {
					return err
				}
				continue
			}
			keys := "no"
			if b.WithKeys {
				keys = "yes"
			}
			t.Row(b.ID, b.Time.Local().Format("2006-01-02 15:04:05"), b.Host, b.Offset, cli.Bytes(b.Bytes), b.Files, keys, b.Error)
		}
		if asJSON {
			return nil
		}
		if len(list) == 0 {
			_, err := fmt.Fprintln(e.Stdout, "there is no backup in "+args[0])
			return err
		}
		return t.Write(e.Stdout)
	}
	return cmd
}

func newBackupPruneCommand(e *cli.Env) *cobra.Command {
	var keep int
	var asJSON bool
	cmd := &cobra.Command{
		Use: "prune DIR|s3://BUCKET/PREFIX --keep N", Short: "Remove all but the newest backups, and what no other needs", Args: cobra.ExactArgs(1),
		Long: `Removes all backups but the newest N, and then every piece that none of those is made of.
Pieces younger than a day stay: another machine may be making a backup.`,
		Example: "  amoskys backup prune /mnt/backup/amoskys --keep 7",
	}
	cmd.Flags().IntVar(&keep, "keep", 0, "how many stay")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if keep < 1 {
			return cli.Usagef("--keep says how many backups stay, at least 1")
		}
		done, err := backups.Prune(cmd.Context(), e, args[0], keep)
		if err != nil {
			return err
		}
		if asJSON {
			return cli.WriteJSON(e.Stdout, done)
		}
		_, err = fmt.Fprintf(e.Stdout, "pruned %s and %s, %s\n", cli.Counted(len(done.Snapshots), "backup", "backups"), cli.Counted(done.Objects, "piece", "pieces"), cli.Bytes(done.Bytes))
		return err
	}
	return cmd
}

// sealing are the flags that say how private keys are encrypted, or decrypted.
type sealing struct {
	with             bool
	passphrase, file string
	fileFlag         string
}

func (s *sealing) bind(cmd *cobra.Command, fileFlag, fileHelp string) {
	s.fileFlag = fileFlag
	cmd.Flags().BoolVar(&s.with, "with-keys", false, "private keys too, encrypted with age: name a passphrase or a file")
	cmd.Flags().StringVar(&s.passphrase, "passphrase-file", "", "file whose first line is the passphrase of the keys")
	cmd.Flags().StringVar(&s.file, fileFlag, "", fileHelp)
}

// read returns what the flags say, nil without --with-keys. set puts the text of the other
// file in its place.
func (s *sealing) read(set func(*backup.Sealing, string)) (*backup.Sealing, error) {
	switch {
	case !s.with && s.passphrase == "" && s.file == "":
		return nil, nil //nolint:nilnil // without keys there is nothing to seal
	case !s.with:
		return nil, cli.Usagef("--passphrase-file and --%s go with --with-keys", s.fileFlag)
	case (s.passphrase == "") == (s.file == ""):
		return nil, cli.Usagef("--with-keys takes either --passphrase-file or --%s", s.fileFlag)
	}
	out := &backup.Sealing{}
	if s.file != "" {
		b, err := os.ReadFile(s.file)
		if err != nil {
			return nil, fmt.Errorf("read --%s: %w", s.fileFlag, err)
		}
		set(out, string(b))
		return out, nil
	}
	b, err := os.ReadFile(s.passphrase)
	if err != nil {
		return nil, fmt.Errorf("read --passphrase-file: %w", err)
	}
	out.Passphrase, _, _ = strings.Cut(string(b), "\n")
	out.Passphrase = strings.TrimRight(out.Passphrase, "\r")
	if out.Passphrase == "" {
		return nil, cli.Usagef("the first line of %s is empty, and should be the passphrase", s.passphrase)
	}
	return out, nil
}

func newRestoreCommand(e *cli.Env) *cobra.Command {
	var o backups.RestoreOptions
	var keys sealing
	var asJSON, writable bool
	cmd := &cobra.Command{
		Use: "restore DIR|s3://BUCKET/PREFIX", Short: "Bring a backup back into an empty home", Args: cobra.MaximumNArgs(1),
		Long: `Brings the newest backup in a place, or the one that --id names, back into an empty home
(--home). All is compared with its checksums before any of it is put in place; a restore
that was cut short goes on when it is run again.

With --with-keys, and what opens them, the identical system comes up. Without, the home
gets a new authority and shows what was restored, without taking events; hosts enrol
again, and amoskys restore --writable has it take what they send.`,
		Example: "  amoskys restore /mnt/backup/amoskys --home /var/lib/amoskys\n" +
			"  amoskys restore s3://backups/amoskys --with-keys --passphrase-file /root/passphrase --home /var/lib/amoskys\n" +
			"  amoskys restore --writable --home /var/lib/amoskys",
	}
	cmd.Flags().StringVar(&o.ID, "id", "", "which backup: amoskys backup list shows them (default the newest)")
	cmd.Flags().BoolVar(&o.Force, "force", false, "let the restored hub start although the one that the backup is of answers")
	cmd.Flags().BoolVar(&writable, "writable", false, "have a home that was restored without keys take events from now on")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	keys.bind(cmd, "identity-file", "file with identities of age, of whom the keys are encrypted for")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case writable && len(args) > 0:
			return cli.Usagef("--writable is of a home that was restored, and takes no place")
		case writable:
			if err := backups.Writable(e); err != nil {
				return err
			}
			_, err := fmt.Fprintf(e.Stdout, "%s takes events when its hub is started again\n", e.Home)
			return err
		case len(args) == 0:
			return cli.Usagef("name the place of the backup: a folder, or s3://BUCKET/PREFIX")
		}
		var err error
		if o.Sealing, err = keys.read(func(s *backup.Sealing, text string) { s.Identities = text }); err != nil {
			return err
		}
		o.From = args[0]
		progress := cli.NewProgress(e.Stderr, e.Now)
		o.Progress = func(done, total int64) { progress.Update("restoring", done, total) }
		back, err := backups.Restore(cmd.Context(), e, o)
		progress.Done()
		if err != nil {
			return err
		}
		if asJSON {
			return cli.WriteJSON(e.Stdout, back)
		}
		return printBack(e, back)
	}
	return cmd
}

func printBack(e *cli.Env, b *backups.Back) error {
	_, err := fmt.Fprintf(e.Stdout, "restored %s of %s, made %s, into %s\nlog up to offset %d; %s in %s, in %s\n",
		b.ID, cli.Clean(b.Host), b.Time.Local().Format("2006-01-02 15:04:05"), b.Home, b.Offset,
		cli.Bytes(b.Bytes), cli.Counted(b.Files, "file", "files"), cli.Duration(time.Duration(b.Seconds*float64(time.Second))))
	if err != nil {
		return err
	}
	for _, w := range b.Warnings {
		fmt.Fprintln(e.Stdout, cli.Clean(w))
	}
	if b.ReadOnly {
		fmt.Fprintln(e.Stdout, "without its keys it has a new authority, and takes no events until "+cli.Typed(e.Home, "restore --writable"))
		if len(b.Enrol) > 0 {
			fmt.Fprintln(e.Stdout, "these must enrol again: "+cli.Clean(strings.Join(b.Enrol, ", ")))
		}
	}
	_, err = fmt.Fprintln(e.Stdout, "start it: "+cli.Typed(e.Home, "up"))
	return err
}
